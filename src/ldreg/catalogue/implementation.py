"""Where the code of a choice is, without importing it."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Implementation:
    """A class or a function, named by its module.

    Example:
        >>> Implementation("math", "hypot").load()(3, 4)
        5.0
    """

    module: str
    name: str

    def load(self) -> Any:
        """Import the module, which may take seconds, and return the class or function."""
        return getattr(import_module(self.module), self.name)
