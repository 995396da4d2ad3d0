"""Plots as SVG: lines and bars, in colours of the page's style."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Line", "bar_plot", "line_plot"]

_WIDTH, _HEIGHT = 640, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 16, 44
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_TICKS = 6  # labels of an axis, at most


@dataclass(frozen=True)
class Line:
    """One line of a plot.

    Parameters
    ----------
    name : str
    points : sequence of (x, y)
        What is zero or infinite lies on the lower or the upper edge.
    """

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Scale:
    """A logarithmic axis of whole powers of ten; its lower edge is zero where there are zeros."""

    low: int
    high: int
    has_zero: bool = False

    @classmethod
    def of(cls, values: Sequence[float]) -> "_Scale":
        logs = [math.log10(value) for value in values if 0 < value < math.inf]
        low, high = (math.floor(min(logs)), math.ceil(max(logs))) if logs else (-8, -7)
        has_zero = any(value <= 0 for value in values)
        return cls(low - has_zero, max(high, low + 1), has_zero)

    def __call__(self, value: float) -> float:
        """Return how far up a value is, from 0 to 1."""
        if value <= 0:
            return 0.0
        share = (math.log10(value) - self.low) / (self.high - self.low) if value < math.inf else 1.0
        return min(max(share, 0.0), 1.0)

    def ticks(self) -> list[tuple[float, str]]:
        step = -(-(self.high - self.low) // _TICKS)
        return [
            (
                (power - self.low) / (self.high - self.low),
                "0" if self.has_zero and power == self.low else f"10{str(power).translate(_SUPERSCRIPT)}",
            )
            for power in range(self.low, self.high + 1, step)
        ]


def line_plot(title: str, lines: Sequence[Line], x_label: str, y_label: str) -> str:
    """Draw lines over a linear axis of whole numbers and a logarithmic one."""
    points = [point for line in lines for point in line.points]
    scale = _Scale.of([y for _, y in points])
    last = max((x for x, _ in points), default=1) or 1
    parts = [_frame(scale, x_label, y_label), _steps(int(last))]
    for number, line in enumerate(lines):
        places = [(_x(x / last), _y(scale(y))) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="line c{number % 6}" points="{path}"/>')
        parts += [_dot(number, place, f"{line.name}, {x:g}: {y:.3g}") for place, (x, y) in zip(places, line.points, strict=True)]
    return _figure(title, parts, [line.name for line in lines])


def _dot(number: int, place: tuple[float, float], text: str) -> str:
    """Draw a point that shows its value to the pointer."""
    return f'<circle class="dot c{number % 6}" cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="3"><title>{escape(text)}</title></circle>'


def bar_plot(title: str, names: Sequence[str], values: Sequence[float], x_label: str, y_label: str) -> str:
    """Draw bars over names, on a logarithmic axis."""
    # bars stand on zero, so that the smallest is seen
    scale = _Scale.of([0.0, *values])
    parts = [_frame(scale, x_label, y_label)]
    wide = (_WIDTH - _LEFT - _RIGHT) / max(len(names), 1)
    every = -(-len(names) // 16)
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        left, top = _LEFT + number * wide, _y(scale(value))
        base = _HEIGHT - _BOTTOM
        if value > 0:
            parts.append(
                f'<rect class="bar" x="{left + wide * 0.1:.1f}" y="{top:.1f}" width="{wide * 0.8:.1f}" height="{base - top:.1f}">'
                f"<title>{escape(name)}: {value:.4g}</title></rect>"
            )
        if number % every == 0:
            parts.append(f'<text class="tick" x="{left + wide / 2:.1f}" y="{base + 15}" text-anchor="middle">{escape(name)}</text>')
    return _figure(title, parts, [])


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _frame(scale: _Scale, x_label: str, y_label: str) -> str:
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    turned = f'x="14" y="{middle:.0f}" transform="rotate(-90 14 {middle:.0f})"'
    parts = [
        f'<text class="label" x="{_x(0.5):.0f}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text class="label" text-anchor="middle" {turned}>{escape(y_label)}</text>',
    ]
    for share, text in scale.ticks():
        y = _y(share)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    return "".join(parts)


def _steps(last: int) -> str:
    every = max(1, -(-last // _TICKS))
    base = _HEIGHT - _BOTTOM + 15
    return "".join(
        f'<text class="tick" x="{_x(step / (last or 1)):.1f}" y="{base}" text-anchor="middle">{step}</text>'
        for step in range(0, last + 1, every)
    )


def _figure(title: str, parts: Sequence[str], names: Sequence[str]) -> str:
    keys = "".join(f'<span class="key"><i class="c{number % 6}"></i>{escape(name)}</span>' for number, name in enumerate(names))
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg><div class="keys">{keys}</div></figure>'
    )
