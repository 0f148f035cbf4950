"""A bank's folder as the front-end daemon sees it: files in, their lines as frames, answer files out.

Thin: which lines go out and when a file is finished is `files_core`'s to say, what lies where on disk
`files_folder`'s.  One file at a time is worked on, from its start to its end; what a crash leaves half done
is begun again, and every line of it that was credited gets the same answer once more (money rule 3).  A disk
that takes nothing stops the reading, not the daemon: its state says why, and each look at the folder is
another try.
"""

from collections.abc import Callable, Hashable
from typing import Any

from frontends.files_core import Arrivals, FileRun, Line, LineReader
from frontends.files_folder import BadFileError, Folder, LostAnswersError, WorkFile
from frontends.front import BACKOUT, DONE, TO_BANK, Frame
from frontends.limits import share
from frontends.processor import Processor
from frontends.profile import Profile
from frontends.profile_tables import FilesTable
from qianzhi.runtime import clock, metrics
from qianzhi.runtime.effects import Effects, Send
from qianzhi.runtime.log import get_logger
from qianzhi.runtime.now import SECOND_US

FILES = "qianzhi_files_total"
READ_BYTES = 65_536
ROUNDS_MAX = 8  # of reading and sending, before the reactor has its turn
RELEASED_US = SECOND_US
TAKING = ("up", "silent")  # of a node's states


class FilesFront:
    """The folder of one bank; `run` carries out what the core wants done."""

    def __init__(
        self,
        profile: Profile,
        folder: Folder,
        core: Processor,
        run: Callable[[Effects], None],
        reactor: Any,
    ) -> None:
        """Nothing is opened before `start`."""
        self._bank = profile.name
        self._table = profile.table.files or FilesTable()
        self._line_bytes_max = profile.frame.frame_bytes_max
        self._window = share(profile.limits.in_flight, profile.instances)
        self._folder = folder
        self._core = core
        self._run = run
        self._reactor = reactor
        self._log = get_logger("files")
        self._arrivals = Arrivals(int(self._table.settled_seconds * SECOND_US))
        self._runs = 0
        self._prepared = False
        self._file: WorkFile | None = None
        self._lines: FileRun | None = None
        self._pending = bytearray()  # answers that the disk has not taken yet
        self._paused = self._standing_by = self._stopped = self._working = False
        self._accepting = True
        self._rest_until_us = 0
        self._troubles: dict[str, str] = {}  # what is wrong with the folder, with the answers under way
        self._poll_call: Any = None
        self._step_call: Any = None

    def start(self) -> str:
        """Begin to look at the folder; return it.  What is wrong with it shows in the status."""
        self._poll_call = self._reactor.callLater(0, self._poll)
        return str(self._folder.path)

    # What the core wants done

    def send(self, items: list[tuple[Any, bytes]]) -> None:
        """Take the answers of lines."""
        for line, body in items:
            if self._lines is not None:
                self._lines.answer(line, body)
        self._soon()

    def done(self, sources: list[Any]) -> None:
        """Take note of lines that hear nothing."""
        for line in sources:
            if self._lines is not None and isinstance(line, Line):
                self._lines.silent(line, clock.now().mono_us)
        self._soon()

    def finish(self, send: Send) -> None:
        """Mark what is no message, or take note of what hears nothing."""
        if send.to == DONE:
            self.done(send.items)
        for line, _ in send.items if send.to == BACKOUT else []:
            if self._lines is not None:
                self._lines.unreadable(line)
        self._soon()

    def withhold(self, send: Send) -> None:
        """Let the lines go out again whose answer, or silence, could not be recorded and is not told."""
        if send.to not in (TO_BANK, BACKOUT, DONE) or self._lines is None:
            return
        at_us = clock.now().mono_us + RELEASED_US
        for item in send.items:
            self._lines.release(item if send.to == DONE else item[0], at_us)

    def close(self, source: Hashable, reason: str) -> None:
        """Files have no connection to close; nothing more of this line is answered."""
        self.done([source])

    def pause(self, paused: bool) -> None:
        """Stop or go on sending lines."""
        self._paused = paused
        self._soon()

    def stop_accepting(self) -> None:
        """Take no other file; the core pauses the lines of the one that is under way."""
        self._accepting = False

    def stand_by(self, standing_by: bool) -> None:
        """Leave the folder to the other instance, with the file under way, or take files again."""
        self._standing_by = standing_by
        self._soon()

    def stop(self) -> Any:
        """Look at nothing any more; what is in work/ is begun again by whoever comes."""
        self._stopped = True
        for call in (self._poll_call, self._step_call):
            if call is not None and call.active():
                call.cancel()
        self._let_go()

    @property
    def idle(self) -> bool:
        """Whether no line waits for its answer; the file itself may end with another daemon."""
        return self._lines is None or not self._lines.in_flight

    def status(self) -> dict[str, Any]:
        """Return the folder, the files that wait, the file under way, and what is wrong."""
        under_way = None
        if self._lines is not None and self._file is not None:
            under_way = {**self._lines.status(), "bytes": self._file.size}
        return {
            "folder": str(self._folder.path),
            "files_waiting": self._arrivals.waiting,
            "file": under_way,
            "files_trouble": "; ".join(self._troubles.values()),
        }

    # Looking and working

    def _poll(self) -> None:
        """Look at the folder, take the next file when none is under way, and go on."""
        if self._stopped:
            return
        self._poll_call = self._reactor.callLater(self._table.poll_seconds, self._poll)
        try:
            self._look()
            self._heal("folder")
        except OSError as error:
            self._say_trouble("folder", error)
        self._step()

    def _look(self) -> None:
        if not self._prepared or "folder" in self._troubles:
            self._folder.prepare()
            self._prepared = True
        now_us = clock.now().mono_us
        whole = self._arrivals.on_listing(self._folder.listing(), now_us)
        resting = self._paused or self._standing_by or not self._accepting or now_us < self._rest_until_us
        if self._lines is None and not resting:
            self._take_next(whole)

    def _take_next(self, whole: list[str]) -> None:
        """Begin what lies in work/ and belongs to nobody, else the oldest file that has come whole."""
        failed = None
        work = [(self._folder.take_up, name) for name in self._folder.left_over()]
        for take, name in [*work, *((self._folder.claim, name) for name in whole)]:
            try:
                file = take(name)
                if file is not None:
                    self._begin(file)
                    break
            except BadFileError as error:
                self._note("bad", name, why=str(error))
            except OSError as error:
                failed = error
        if failed is not None:
            raise failed

    def _begin(self, file: WorkFile) -> None:
        """Begin a file at its start; raises BadFileError for one that is no whole number of records."""
        size = self._table.record_bytes
        if size and file.size % size:
            file.let_go()
            self._folder.put_aside(file.name, f"{file.size} bytes are no whole number of records of {size}")
        self._runs += 1
        self._file = file
        reader = LineReader(self._line_bytes_max, size)
        self._lines = FileRun(self._runs, shown(file.name), reader, self._window, self._table.tries)
        self._note("taken", file.name, bytes=file.size)

    def _soon(self) -> None:
        """Go on in the next turn of the reactor: the core that calls here is not to be called from here."""
        waiting = self._step_call is not None and self._step_call.active()
        if not (self._working or self._stopped or waiting):
            self._step_call = self._reactor.callLater(0, self._step)

    def _step(self) -> None:
        if self._file is None or self._lines is None or self._working:
            return
        self._working = True
        try:
            more = self._work(self._file, self._lines)
            self._heal("answers")
        except OSError as error:
            more = False
            self._say_trouble("answers", error)
        except LostAnswersError as error:
            more = False
            self._begin_again()
            self._say_trouble("answers", error)
        finally:
            self._working = False
        if more:
            self._soon()

    def _work(self, file: WorkFile, lines: FileRun) -> bool:
        """Write, read and send until nothing moves; True when the reactor should have a turn first."""
        for _ in range(ROUNDS_MAX):
            self._pending += lines.take_written()
            file.write(self._pending)
            if lines.finished:
                self._finish(file, lines)
                return False
            if self._standing_by and not lines.in_flight:
                self._let_go()
                return False
            if not self._may_send():
                return False
            read = lines.wants_bytes
            if read:
                lines.receive_data(file.read(READ_BYTES))
            now = clock.now()
            out = lines.take(now.mono_us)
            if out:
                self._run(self._core.on_frames([Frame(line, body) for line, body in out], now))
            if not (out or read):
                return False
        return True

    def _may_send(self) -> bool:
        """Whether lines may go out: with no node that takes any they wait in the file, where nothing ages.

        A node that reaches no bridge drains, so that an outage of the core marks no file's lines as unknown.
        """
        if self._paused or self._standing_by or self._stopped:
            return False
        nodes = self._core.status(clock.now())["nodes"]
        return any(state in TAKING for state in nodes.values())

    def _finish(self, file: WorkFile, lines: FileRun) -> None:
        """Show the answers, unless the file has grown meanwhile: then it is gone through again."""
        if file.changed:
            self._begin_again()
            self._note("changed", lines.name)
            return
        file.finish()
        self._file = self._lines = None
        self._note("answered", lines.name, **{k: v for k, v in lines.status().items() if k != "name"})
        if self._poll_call.active():
            self._poll_call.reset(0)

    def _begin_again(self) -> None:
        """Give the file up; it lies in work/, to be begun again when some time has passed."""
        rest_seconds = max(self._table.settled_seconds, self._table.poll_seconds)
        self._rest_until_us = clock.now().mono_us + int(rest_seconds * SECOND_US)
        self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.let_go()
        self._file = self._lines = None
        self._pending.clear()

    # What is told

    def _note(self, what: str, name: str, **fields: Any) -> None:
        metrics.count(FILES, (self._bank, what))
        self._log.info("file", what=what, bank=self._bank, file=shown(name), **fields)

    def _say_trouble(self, part: str, error: Exception) -> None:
        """Say once what is wrong with a part, until it is right again or something else is."""
        trouble = shown(str(error))
        if self._troubles.get(part) != trouble:
            metrics.count("qianzhi_alarms_total", ("files_trouble",))
            self._log.error("alarm", alarm="files_trouble", fields={"bank": self._bank, "why": trouble})
        self._troubles[part] = trouble

    def _heal(self, part: str) -> None:
        if self._troubles.pop(part, ""):
            self._log.info("files_well", bank=self._bank, part=part)


def shown(name: str) -> str:
    """Return a file's name as it can be shown: bytes of another charset do not stand in JSON."""
    return name.encode("utf-8", "replace").decode("utf-8")
