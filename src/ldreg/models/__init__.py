"""Encoders: convolutional networks, vision transformers, and trained encoders loaded from files."""
