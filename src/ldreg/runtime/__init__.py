"""Processes, devices and the terminal: GPUs, ranks and what a job tells."""
