"""Plots as SVG, written by hand: lines over a logarithmic axis, the same bytes for the same figures.

Each plot has one or two panels side by side with one x-axis each; nothing is drawn by a library, so that a
plot can be made anywhere and a change of a figure is a small difference of text.
"""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

WIDTH, HEIGHT = 420, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 34, 44
COLOURS = ("#1f5fa8", "#c2571a", "#3a7d44", "#7a4fa3", "#8a8a2b", "#555555")


class Line(NamedTuple):
    """One line of a panel."""

    name: str
    points: Sequence[tuple[float, float]]


class Panel(NamedTuple):
    """One pair of axes; `log` says that x grows by factors."""

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    log: bool = True


def draw(path: Path, panels: Sequence[Panel]) -> None:
    """Write panels side by side into a file."""
    width = WIDTH * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" '
        f'viewBox="0 0 {width} {HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for at, panel in enumerate(panels):
        parts += [f'<g transform="translate({at * WIDTH},0)">', *_panel(panel), "</g>"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


def _panel(panel: Panel) -> list[str]:
    points = [point for line in panel.lines for point in line.points]
    if not points:
        return []
    xs = sorted({x for x, _ in points})
    top = nice(max(y for _, y in points))
    scale = math.log10 if panel.log else float
    low, high = scale(xs[0]), scale(xs[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        part = (scale(x) - low) / (high - low) if high > low else 0.5
        return (
            LEFT + part * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM),
        )

    parts = [_text(LEFT, 18, panel.title, weight="bold")]
    for step in range(5):
        y = top * step / 4
        _, at = place(xs[0], y)
        parts.append(f'<line x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}" stroke="#dddddd"/>')
        parts.append(_text(LEFT - 6, at + 4, short(y), "end"))
    for x in xs:
        parts.append(_text(place(x, 0)[0], HEIGHT - BOTTOM + 16, short(x), "middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, panel.x, "middle"))
    parts.append(
        f'<text transform="translate(14,{(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(panel.y)}</text>'
    )
    for line, colour in zip(panel.lines, COLOURS, strict=False):
        parts += _line(line, [place(*point) for point in sorted(line.points)], colour)
    return [*parts, *_names(panel.lines)]


def _line(line: Line, places: list[tuple[float, float]], colour: str) -> list[str]:
    steps = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [f'<polyline points="{steps}" fill="none" stroke="{colour}" stroke-width="2"/>']
    return parts + [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]


def _names(lines: Sequence[Line]) -> list[str]:
    if len(lines) < 2:
        return []
    parts = []
    for at, (line, colour) in enumerate(zip(lines, COLOURS, strict=False)):
        y = TOP + 10 + at * 14
        parts.append(f'<rect x="{LEFT + 8}" y="{y - 8}" width="9" height="9" fill="{colour}"/>')
        parts.append(_text(LEFT + 22, y, line.name))
    return parts


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    bold = f' font-weight="{weight}"' if weight != "normal" else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{bold}>{escape(text)}</text>'


def nice(value: float) -> float:
    """Return a round number no smaller than a value: 1, 2, 2.5 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 2.5, 5, 10) if power * step >= value * 0.9999)


def short(value: float) -> str:
    """Return a number as short as it can be read: 1500 as 1.5k, 10000000 as 10M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"
