"""Bar charts as SVG, drawn by hand: a bar for each model, the figure written at its end.

A chart whose largest figure is many times its smallest has a logarithmic scale, which starts at the
power of ten below the smallest. Colours are classes: the page that holds the chart gives them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Bar", "Scale", "choose_scale", "draw_bars"]

# From here on the small ones would be slivers on a linear scale.
_LOGARITHMIC_FROM = 30.0

_WIDTH = 720
_LABEL_WIDTH = 140
_VALUE_WIDTH = 90
_PLOT_WIDTH = _WIDTH - _LABEL_WIDTH - _VALUE_WIDTH
_ROW = 26
_BAR = 16
_AXIS = 24


@dataclass(frozen=True)
class Bar:
    """One model's figure.

    Attributes:
        label: Its name.
        value: The figure, 0 or more.
        kind: The class that colours it.
    """

    label: str
    value: float
    kind: str = "peer"


@dataclass(frozen=True)
class Scale:
    """Where a figure stands between the two ends of the axis.

    Attributes:
        low: The figure at the left end.
        high: The figure at the right end.
        ticks: Figures that are marked.
        logarithmic: Equal steps are equal factors.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool

    def position(self, value: float) -> float:
        """From 0 at the left end to 1 at the right one."""
        if self.logarithmic:
            if value <= self.low:
                return 0.0
            return math.log(value / self.low) / math.log(self.high / self.low)
        return value / self.high


def choose_scale(values: Sequence[float]) -> Scale:
    """The scale that shows all these figures."""
    positive = [value for value in values if value > 0]
    if not positive:
        return Scale(0.0, 1.0, (0.0, 1.0), logarithmic=False)
    smallest, largest = min(positive), max(positive)
    if largest / smallest >= _LOGARITHMIC_FROM:
        low = math.floor(math.log10(smallest))
        # A figure that is a power of ten itself would have no bar.
        low -= 10.0**low == smallest
        high = math.ceil(math.log10(largest))
        ticks = tuple(10.0**power for power in range(low, high + 1))
        return Scale(ticks[0], ticks[-1], ticks, logarithmic=True)
    step = _round_step(largest / 5)
    count = math.ceil(largest / step)
    return Scale(0.0, count * step, tuple(step * i for i in range(count + 1)), logarithmic=False)


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, ... that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)


def draw_bars(title: str, bars: Sequence[Bar], show: Callable[[float], str]) -> str:
    """Draw a chart.

    Args:
        title: What the figures are, with their unit.
        bars: From top to bottom.
        show: A figure as text.

    Returns:
        An `svg` element.
    """
    scale = choose_scale([bar.value for bar in bars])
    height = _ROW * len(bars) + _AXIS
    label = escape(f"{title}: " + ", ".join(f"{bar.label} {show(bar.value)}" for bar in bars))
    parts = [f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{label}">']
    for tick in scale.ticks:
        x = _LABEL_WIDTH + _PLOT_WIDTH * scale.position(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - _AXIS}"/>')
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{height - 6}" text-anchor="middle">'
            f"{escape(show(tick))}</text>"
        )
    for index, bar in enumerate(bars):
        parts += _draw_bar(bar, index * _ROW, scale, show)
    return "\n".join([*parts, "</svg>"])


def _draw_bar(bar: Bar, top: float, scale: Scale, show: Callable[[float], str]) -> list[str]:
    # At least a hair: nothing at all would look like a figure that is missing.
    width = max(_PLOT_WIDTH * scale.position(bar.value), 1.0)
    middle = top + _ROW / 2
    below = middle + 4
    text = escape(show(bar.value))
    name = escape(bar.label)
    end = _LABEL_WIDTH + width + 6
    return [
        f'<text class="label" x="{_LABEL_WIDTH - 8}" y="{below:.1f}" text-anchor="end">',
        f"{name}</text>",
        f'<rect class="{escape(bar.kind)}" x="{_LABEL_WIDTH}" y="{middle - _BAR / 2:.1f}"',
        f'width="{width:.1f}" height="{_BAR}" rx="2"><title>{name}: {text}</title></rect>',
        f'<text class="value" x="{end:.1f}" y="{below:.1f}">{text}</text>',
    ]
