"""Pretraining: its steps, optimisers, live monitors, and what a step costs."""
