"""The paper's numbers and settings, and ours beside them."""
