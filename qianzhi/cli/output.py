"""What the command shows and how it ends: tables, JSON, plain failures and the documented exit codes.

rich is imported only when something is shown, so that a command that starts a daemon does not pay for it.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

DONE = 0
BROKEN = 1
USAGE = 2
UNREACHABLE = 3
UNKNOWN = 4

CHECK_ADVICE = "nothing was started; the configuration is read from ./config, or from --config DIR"

EXIT_CODES = (
    (DONE, "done: approved, valid, balanced"),
    (BROKEN, "refused, or something is broken or lost"),
    (USAGE, "wrong usage, wrong configuration, or a port that is taken"),
    (UNREACHABLE, "a daemon or a database is not reachable"),
    (UNKNOWN, "the outcome is unknown: ask with `status`, never send again under a new serial"),
)


class CommandError(Exception):
    """An expected ending that is no success: shown as two plain lines, without a traceback."""

    def __init__(self, code: int, what: str, advice: str = "") -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.advice = advice


def console(*, error: bool = False) -> "Console":
    """Return a rich console on standard output or standard error."""
    from rich.console import Console

    wide = None if sys.stdout.isatty() else 200  # a pipe or a file has no width of its own
    return Console(stderr=error, highlight=False, soft_wrap=True, width=wide)


def say(text: str) -> None:
    """Print one plain line at once, even into a pipe."""
    print(text, flush=True)


def show_json(value: Any) -> None:
    """Print a value as JSON; Chinese stays readable."""
    print(json.dumps(value, ensure_ascii=False, indent=2, default=str), flush=True)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Print rows as a table; a column whose name ends in `>` is set to the right.  No rows, no table."""
    rows = list(rows)
    if not rows:
        return
    from rich import box
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(
            column.rstrip(">"), justify="right" if column.endswith(">") else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(plain(cell) for cell in row))
    print_table(table)


def print_table(table: "Table") -> None:
    """Print a table; into a pipe or a file without blanks at the ends of its lines."""
    here = console()
    if sys.stdout.isatty():
        here.print(table)
        return
    with here.capture() as captured:
        here.print(table)
    say("\n".join(line.rstrip() for line in captured.get().splitlines()))


def plain(cell: object) -> str:
    """Return a cell's text with nothing in it that rich would read as markup."""
    from rich.markup import escape

    return escape("" if cell is None else str(cell))


def show_problems(problems: Sequence[Any]) -> None:
    """Print configuration problems, a table for each file: key, found, expected."""
    for file in dict.fromkeys(problem.file for problem in problems):
        rows = [(each.key, each.found, each.expected) for each in problems if each.file == file]
        show_table((f"{file}: key", "found", "expected"), rows)


def end(failure: CommandError) -> NoReturn:
    """Say what is wrong and what to do, on standard error, and end with the failure's code."""
    print(f"qianzhi: {failure.what}", file=sys.stderr)
    if failure.advice:
        print(f"         {failure.advice}", file=sys.stderr)
    sys.exit(failure.code)
