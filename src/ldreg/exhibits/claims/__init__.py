"""The claims of the paper and their tests."""
