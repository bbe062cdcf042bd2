"""Distances to the k nearest neighbours: exact up to rounding, differentiable, with bounded memory."""

from ldreg.neighbors.checks import NotFiniteError, checked_features, checked_k
from ldreg.neighbors.distances import neighbor_distances

__all__ = ["NotFiniteError", "checked_features", "checked_k", "neighbor_distances"]
