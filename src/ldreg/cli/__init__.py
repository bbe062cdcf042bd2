"""The command line."""

from ldreg.cli.parser import entry, main

__all__ = ["entry", "main"]
