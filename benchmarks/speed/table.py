"""The table that a run ends with: what was to be reached, what was, and the machine beside it."""

import time
from typing import Any

from series import Row

HEAD = "| yardstick | goal | stretch | reached | rounds | |\n|---|---:|---:|---:|---:|---|"


def markdown(rows: list[Row], about: dict[str, Any]) -> str:
    """Return the table with what stands beside it."""
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    lines = [
        f"{time.strftime('%Y-%m-%d %H:%M')}, commit {about['commit'] or 'unknown'}: {about['processors']} "
        f"processors ({about['processor'] or about['machine']}), {about['machine']}, Python "
        f"{about['python']}, {versions}; fdatasync of 4 KiB {about['fsync_us']} µs, load average "
        f"{about['load_average']} at the start; codec {about['codec']}.",
        "",
        HEAD,
        *map(_line, rows),
        "",
    ]
    return "\n".join(lines)


def _line(row: Row) -> str:
    sign, unit = "≤" if row.less else "≥", "" if row.unit == "×" else f" {row.unit}"
    times = " ×" if row.unit == "×" else ""
    marks = [f"{sign} {mark:g}{times}{unit}" for mark in (row.goal, row.stretch)]
    spread = f"{min(row.rounds):.2f} to {max(row.rounds):.2f}"
    return (
        f"| {row.title} | {marks[0]} | {marks[1]} | {row.value:.2f}{times}{unit} | {spread} | {row.verdict} |"
    )
