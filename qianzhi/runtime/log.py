"""Structured logs: one JSON line on stderr for what an operator should know; never one per normal request.

Every line is masked before it leaves (`masking`).  A daemon writes through a bounded queue and a thread of
its own, because supervisord reads stderr through a pipe and a stalled supervisord must not stall a bank: when
the queue is half full debug lines are dropped, when it is full all are, and the number of the dropped is
logged as soon as there is room. The lines of Python's and Twisted's own logging come the same way.  An
exception that Twisted caught in a callback ends the process: its state is unknown and supervisor starts a
fresh one.
"""

import json
import logging
import os
import queue
import threading
from typing import Any, NoReturn

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogBeginner, globalLogPublisher
from twisted.python.failure import Failure

from qianzhi.runtime.masking import mask_value

QUEUE_LINES_MAX = 10_000
STOP_SECONDS = 2.0
EXIT_SOFTWARE = 70  # sysexits.h: an internal software error
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_STDERR = 2


def get_logger(name: str) -> FilteringBoundLogger:
    """Return the logger of a module or daemon; usable before `start`, when it writes at once."""
    logger: FilteringBoundLogger = structlog.get_logger(source=name)
    return logger


class _LineWriter:
    """Where rendered lines go: straight to the descriptor, or through the queue while the thread runs."""

    def __init__(self) -> None:
        self._lines: queue.Queue[bytes | None] = queue.Queue(QUEUE_LINES_MAX)
        self._thread: threading.Thread | None = None
        self._descriptor = _STDERR
        self.dropped = 0

    @property
    def running(self) -> bool:
        """Whether lines go through the queue."""
        return self._thread is not None

    def start(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._thread = threading.Thread(target=self._drain, name="log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write out what waits, within a bound; a reader that is stalled for good must not hold up the
        end."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            self._lines.put(None, timeout=STOP_SECONDS)
        except queue.Full:
            return
        thread.join(STOP_SECONDS)

    def take(self, line: bytes, level: int) -> None:
        """Queue a line or drop and count it; never blocks while the thread runs."""
        if self._thread is None:
            self._write(line)
            return
        if level <= logging.DEBUG and self._lines.qsize() > QUEUE_LINES_MAX // 2:
            self.dropped += 1
            return
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def _drain(self) -> None:
        while (line := self._lines.get()) is not None:
            self._write(line)
            if self.dropped:
                count, self.dropped = self.dropped, 0
                self._write(_render({"event": "log lines dropped", "level": "warning", "count": count}))

    def _write(self, line: bytes) -> None:
        """Write the whole line; a closed or full stderr loses it, as there is nowhere left to say so."""
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:
            self.dropped += 1


_writer = _LineWriter()


def _mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask every field; an exception is rendered before this runs, so its text is masked too."""
    return {name: mask_value(value, name) for name, value in event.items()}


def _emit(_logger: WrappedLogger, _method: str, event: EventDict) -> NoReturn:
    """Hand the line over and stop here: structlog's own printing is not used."""
    _writer.take(_render(event), _LEVELS.get(str(event.get("level")), logging.INFO))
    raise structlog.DropEvent


def _render(event: EventDict) -> bytes:
    return json.dumps(event, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace") + b"\n"


def _configure(level: int) -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _mask,
            _emit,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )


_configure(logging.INFO)


class _Bridge(logging.Handler):
    """Brings the records of Python's own logging (libraries use it) into our lines."""

    def emit(self, record: logging.LogRecord) -> None:
        get_logger(record.name).log(record.levelno, record.getMessage(), exc_info=record.exc_info)


def start(daemon: str, *, level: int = logging.INFO, descriptor: int = _STDERR) -> None:
    """Send all logging of this process through the queue; `daemon` stands in every line.

    Call once, before the reactor runs.  From now on an exception that nobody handled ends the process.
    """
    _configure(level)
    structlog.contextvars.clear_contextvars()
    _bind_daemon(daemon)
    _writer.start(descriptor)
    root = logging.getLogger()
    root.handlers[:] = [_Bridge()]
    root.setLevel(max(level, logging.INFO))
    # Until logging begins, Twisted itself prints critical events to stderr, and unmasked.
    observers: list[Any] = [_observe_twisted]
    globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False, discardBuffer=True)


def say_what_is_wrong_only() -> None:
    """Leave out what goes well, for a command whose own words are for people."""
    _configure(logging.WARNING)


def stop() -> None:
    """Write out what waits and go back to writing at once."""
    if _writer.running:
        globalLogPublisher.removeObserver(_observe_twisted)  # type: ignore[arg-type]
    _writer.stop()


def _bind_daemon(daemon: str) -> None:
    """Put the daemon's name into every line of every thread."""
    processors = structlog.get_config()["processors"]

    def add_daemon(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["daemon"] = daemon
        return event

    structlog.configure(processors=[add_daemon, *processors])


def _observe_twisted(event: LogEvent) -> None:
    """Pass on Twisted's warnings; end the process at an exception that Twisted swallowed in a callback."""
    # The reactor reports what a protocol raised in the old form, with other keys and without a level.
    failure = event.get("log_failure") or event.get("failure")
    level = event.get("log_level", LogLevel.info)
    if isinstance(failure, Failure) and (level >= LogLevel.error or event.get("isError")):
        end_process("unhandled exception", type(failure.value).__name__, failure.getTraceback())
    if level >= LogLevel.warn:
        get_logger("twisted").warning(formatEvent(event))


def end_process(event: str, error: str, traceback: str = "") -> NoReturn:
    """Log why and end this process at once with exit status 70; nothing of its state is trusted or saved."""
    fields: dict[str, Any] = {"error": error, "traceback": traceback}
    get_logger("process").critical(event, **fields)
    _writer.stop()
    os._exit(EXIT_SOFTWARE)
