"""A reference to a class or function that is imported only when it is needed."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Implementation:
    """A class or function, referred to by its module and name.

    Example:
        >>> Implementation("math", "hypot").load()(3, 4)
        5.0
    """

    module: str
    name: str

    def load(self) -> Any:
        """Import the module, which may take seconds, and return the class or function."""
        return getattr(import_module(self.module), self.name)
