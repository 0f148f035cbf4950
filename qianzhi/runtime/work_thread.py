"""A thread that does a daemon's blocking work in the order in which it was asked for, until it succeeds.

What fails for a reason that will pass is tried again: what rests on it stays unsaid meanwhile, and what was
asked for later waits behind it.  Anything else that is raised ends the process, or promises would be taken
and never kept.  Whoever is told of something is called on the reactor's thread.
"""

import threading
import traceback
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from qianzhi.runtime.log import end_process

RETRY_SECONDS = 0.5

Work = tuple[Callable[..., None], tuple[Any, ...]]


class WorkThread:
    """Does what it is given, one thing after the other; errors of the type `passing` are tried again."""

    def __init__(
        self,
        name: str,
        reactor: Any,
        passing: type[Exception],
        trouble: Callable[[str], None],
        idle: Callable[[], float | None] = lambda: None,
    ) -> None:
        """`trouble` hears once why something fails, and an empty text once it is over.

        `idle` is asked between any two things: it does what it finds due, under the same rules, and says for
        how many seconds at most it need not be asked again; None for as long as nothing else comes.
        """
        self._name = name
        self._reactor = reactor
        self._passing = passing
        self._trouble = trouble
        self._idle = idle
        self._wait_seconds: float | None = None
        self._troubled = False
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def do(self, work: Callable[..., None], *arguments: Any) -> None:
        """Have this done after what was asked for before."""
        self._work.put((work, arguments))

    def stop(self) -> None:
        """Finish what was asked for, once each, and end; blocks for as long as that takes."""
        self._stopping.set()
        self._work.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def tell(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call back on the reactor's thread."""
        self._reactor.callFromThread(call, *arguments)

    def _run(self) -> None:
        ended = False
        try:
            self._work_on()
            ended = True
        finally:
            if not ended:
                said = "an exception that nobody expected"
                end_process(f"{self._name} failed", said, traceback.format_exc())

    def _work_on(self) -> None:
        self._look()
        while True:
            try:
                item = self._work.get(timeout=self._wait_seconds)
            except Empty:
                self._look()
                continue
            if item is None:
                return
            self._try(*item)
            self._look()

    def _look(self) -> None:
        def look() -> None:
            self._wait_seconds = self._idle()

        self._try(look, ())

    def _try(self, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """Do it until it succeeds; say once that it does not, and once that it does again."""
        while True:
            try:
                work(*arguments)
            except self._passing as error:
                if not self._troubled:
                    self._troubled = True
                    self.tell(self._trouble, str(error))
                if self._stopping.wait(RETRY_SECONDS):
                    return
            else:
                if self._troubled:
                    self._troubled = False
                    self.tell(self._trouble, "")
                return
