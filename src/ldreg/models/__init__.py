"""Encoders: convolutional networks, vision transformers, and encoders read from files."""
