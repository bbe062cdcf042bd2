"""Pretraining: training steps, optimisers, live monitors, and the time of a step."""
