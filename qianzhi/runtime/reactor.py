"""The reactor of a daemon: Twisted's epoll reactor, with less between a ready socket and who reads it.

Twisted wraps each ready socket in a logging context and gives a call for "as soon as this wake-up is over" a
place in its heap of timers; with one message a wake-up that is a good part of the work.  Here neither
happens: an exception that a socket's own code lets out still ends up in the log, from the main loop,
and what is to follow a wake-up stands in a list.
"""

import errno
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.epollreactor import EPollReactor


class WakeReactor(EPollReactor):
    """An epoll reactor that knows when a wake-up is over."""

    def __init__(self) -> None:
        self._after: deque[Callable[[], None]] = deque()
        self._awake = False
        super().__init__()  # type: ignore[no-untyped-call]

    def after_wake(self, work: Callable[[], None]) -> None:
        """Do `work` once all sockets that are ready now have been read; else as soon as may be."""
        if self._awake:
            self._after.append(work)
        else:
            self.callLater(0, work)

    def doPoll(self, timeout: float | None) -> None:
        """Wait until sockets are ready, serve each, then do what is to follow."""
        try:
            ready = self._poller.poll(-1 if timeout is None else timeout, len(self._selectables))
        except OSError as error:
            if error.errno == errno.EINTR:
                return
            raise
        self._awake = True
        try:
            for number, event in ready:
                selectable = self._selectables.get(number)
                if selectable is not None:  # one that was ready before may have closed it
                    self._doReadOrWrite(selectable, number, event)  # type: ignore[no-untyped-call]
            while self._after:
                self._after.popleft()()
        finally:
            self._awake = False
            while self._after:  # where one of them failed: the main loop says so, and the others follow
                self.callLater(0, self._after.popleft())

    doIteration = doPoll


def after_wake(reactor: Any) -> Callable[[Callable[[], None]], Any]:
    """Return what does work after a wake-up, with a reactor of any kind."""
    known: Callable[[Callable[[], None]], Any] | None = getattr(reactor, "after_wake", None)
    return known or (lambda work: reactor.callLater(0, work))
