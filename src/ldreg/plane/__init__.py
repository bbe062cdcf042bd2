"""The paper's experiments with points in the plane (Figures 1 and 3)."""
