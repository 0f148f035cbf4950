"""The interface layer of the naive implementation: JSON in, JSON out, one message at a time.

python naive_interface.py PORT CORE_PORT
"""

import itertools
import sys
from typing import Any

from jsonpipe import JsonLine, dial, serve


class FrontLine(JsonLine):
    """A front-end's connection."""

    def on_json(self, message: dict[str, Any]) -> None:
        """Pass a request on under a number of our own."""
        number = next(NUMBERS)
        WAITING[number] = (self, message["id"])
        CORE.line.send_json({**message, "id": number})


class CoreLine(JsonLine):
    """The connection to the core."""

    def on_json(self, message: dict[str, Any]) -> None:
        """Pass an answer back."""
        line, number = WAITING.pop(message["id"])
        line.send_json({**message, "id": number})


NUMBERS = itertools.count(1)
WAITING: dict[int, tuple[FrontLine, int]] = {}
CORE = dial(int(sys.argv[2]), CoreLine)
serve(int(sys.argv[1]), FrontLine)
