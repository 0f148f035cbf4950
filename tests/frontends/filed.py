"""The example bank that puts files into a folder: its front on a model clock, and as processes."""

import errno
import shutil
from collections import deque
from pathlib import Path

from killable import Core, Place
from twisted.internet.task import Clock

from frontends import files_front
from frontends.files_folder import Folder
from frontends.files_front import FilesFront
from frontends.front import BACKOUT, DONE, TO_BANK
from frontends.profile import load_profile, resolve_keys
from qianzhi.link.site import load_site
from qianzhi.runtime import clock
from qianzhi.runtime.effects import Send
from qianzhi.runtime.now import Now
from qianzhi.runtime.secrets import resolve_key
from qianzhi.wire.mac import make_mac
from qianzhi.wire.mackey import MacKey
from simulators.free_ports import free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "files" / "config"


def example(folder, *edits):
    """A copy of the example configuration with its profile edited; return the folder and the profile."""
    config = Path(shutil.copytree(EXAMPLE, folder / "config"))
    path = config / "banks" / "batch.toml"
    text = path.read_text(encoding="utf-8")
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")
    profile, problems = load_profile(config, "batch")
    assert problems == []
    return config, profile


class TinyCore:
    """Answers each line with itself in capitals, as soon as it is told to; `quiet` lines hear nothing."""

    def __init__(self):
        self.waiting, self.seen, self.most, self.at_once = deque(), [], 0, True
        self.nodes = {"node1": "up"}

    def status(self, now):
        return {"nodes": self.nodes}

    def on_frames(self, frames, now):
        self.seen += [frame.body for frame in frames]
        self.waiting.extend(frames)
        self.most = max(self.most, len(self.waiting))
        return self.answers() if self.at_once else []

    def answers(self, many=1_000_000):
        effects = []
        for _ in range(min(many, len(self.waiting))):
            frame = self.waiting.popleft()
            if frame.body.startswith(b"quiet"):
                effects.append(Send(DONE, [frame.source]))
            elif not frame.body.isascii():
                effects.append(Send(BACKOUT, [(frame.source, "format")]))
            else:
                effects.append(Send(TO_BANK, [(frame.source, frame.body.upper())]))
        return effects


class Desk:
    """A front on a model clock over a real folder."""

    def __init__(self, folder, monkeypatch, *edits, data="data"):
        self.profile = example(folder / f"of-{data}", *edits)[1]
        self.path = folder / "data"
        self.reactor, self.core = Clock(), TinyCore()
        monkeypatch.setattr(files_front.clock, "now", lambda: Now(int(self.reactor.seconds() * 1e6), 0))
        self.withheld = False
        self.front = FilesFront(self.profile, Folder(self.path), self.core, self.run, self.reactor)
        self.front.start()
        self.pass_time(0)

    def run(self, effects):
        for effect in effects:
            if self.withheld:
                self.front.withhold(effect)
            elif effect.to == TO_BANK:
                self.front.send(effect.items)
            else:
                self.front.finish(effect)

    def drop(self, name, data, marker=True):
        (self.path / "in" / name).write_bytes(data)
        if marker:
            (self.path / "in" / f"{name}.ok").touch()

    def pass_time(self, seconds=3, step=0.5):
        self.reactor.advance(0)
        for _ in range(int(seconds / step)):
            self.reactor.advance(step)
            for _ in range(50):
                self.reactor.advance(0)

    def names(self, part):
        return sorted(path.name for path in (self.path / part).iterdir() if path.name != ".lock")

    def text(self, part, name):
        return (self.path / part / name).read_bytes()

    @property
    def status(self):
        return self.front.status()


def full(*_):
    """A disk that takes nothing more."""
    raise OSError(errno.ENOSPC, "No space left on device")


class FilesPlace(Place):
    """The example site in processes of their own; the core behind it is the test's."""

    def __init__(self, folder, reactor_thread, *edits, instances=1, core=Core):
        self.config = example(folder, *edits)[0]
        self.data, self.name = folder / "var", "front-batch-1"
        file = self.config / "site.toml"
        text = file.read_text(encoding="utf-8").replace('data = "var"', f'data = "{self.data}"')
        site, problems = load_site(self.config)
        assert problems == []
        key = resolve_key(site.key, production=False, base=self.config)
        self.core = reactor_thread.run(lambda: core(key, reactor_thread.reactor))
        text = text.replace("17211", str(reactor_thread.run(self.core.server.start)))
        for port in ("17212", "17221", "17222", "17201", "17202", "17302"):
            text = text.replace(port, str(free_port()))
        if instances > 1:
            text = text.replace("instances = 1", f"instances = {instances}")
            text += "".join(
                f"[[banks.batch.others]]\nmetrics_port = {free_port()}\n" for _ in range(1, instances)
            )
        file.write_text(text, encoding="utf-8")
        self.site, problems = load_site(self.config)
        assert problems == []
        self.profile, problems = load_profile(self.config, "batch", self.site)
        assert problems == []
        self.keys = resolve_keys(self.profile, self.config, production=False)
        self.folder = self.data / "banks" / "batch"
        self.processes, self.banks = [], []
        (self.folder / "in").mkdir(parents=True)

    def line(self, serial):
        """One request of the bank's."""
        request = self.recharge(serial)
        message = self.profile.mapping.request_message(request, clock.now(), None)
        make_mac(self.profile.mac, message, self.profile.codec, MacKey(self.keys["mac"]))
        return self.profile.codec.encode(message) + b"\n"

    def drop(self, name, lines):
        (self.folder / "in" / name).write_bytes(b"".join(lines))
        (self.folder / "in" / f"{name}.ok").touch()

    def answers(self, name, patience_seconds=20):
        """The answer file's lines, as soon as the original is put away."""
        end = clock.monotonic_seconds() + patience_seconds
        while not (self.folder / "done" / name).exists():
            assert clock.monotonic_seconds() < end, self.status(self.name)
            clock.sleep(0.02)
        return (self.folder / "out" / name).read_bytes().splitlines()

    def results(self, name):
        """The result of each line of an answer file, None where a mark stands."""
        mapping, codec = self.profile.mapping, self.profile.codec
        return [
            None if line.startswith(b"?") else mapping.reply_of(codec.decode(line)).result.name
            for line in self.answers(name)
        ]
