"""The places of a swept setting's values on an axis, and how the axis is drawn."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes

from ldreg.exhibits.output.labels import name


@dataclass(frozen=True)
class AxisScale:
    """Where swept values lie on the x axis.

    Powers of two stand on a binary logarithmic axis, other positive numbers over a decade or more on a
    decimal one, other numbers on a linear one, words side by side in the order given.
    """

    values: tuple[Any, ...]
    base: int | None  # of the logarithm
    numeric: bool

    @classmethod
    def of(cls, values: Iterable[Any]) -> "AxisScale":
        """The scale that suits the values."""
        different = tuple(dict.fromkeys(values))
        numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in different)
        if not numeric:
            return cls(different, None, False)
        base = None
        if len(different) > 1 and min(different) > 0:
            if all(math.log2(value).is_integer() for value in different):
                base = 2
            elif max(different) >= 10 * min(different):
                base = 10
        return cls(tuple(sorted(different)), base, True)

    def at(self, value: Any, shift: float = 0.0) -> float:
        """Place of a value, moved to the right by `shift` of the narrowest gap between two values."""
        places = [self._even(value) for value in self.values]
        gap = min((b - a for a, b in pairwise(places)), default=1.0)
        place = self._even(value) + shift * gap
        return place if self.base is None else float(self.base) ** place

    def _even(self, value: Any) -> float:
        if not self.numeric:
            return float(self.values.index(value))
        return float(value) if self.base is None else math.log(value, self.base)

    def apply(self, axes: Axes) -> None:
        """Set the axis's scale, with one tick at each swept value."""
        if self.base is not None:
            axes.set_xscale("log", base=self.base)
        axes.set_xticks([self.at(value) for value in self.values], [name(value) for value in self.values])
        axes.minorticks_off()
        axes.set_xlim(self.at(self.values[0], -0.45), self.at(self.values[-1], 0.45))
