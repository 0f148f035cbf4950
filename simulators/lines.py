"""From a bank's profile to its line at the other end: one row per dialect that the simulators speak."""

from collections.abc import Callable
from pathlib import Path

from frontends.profile import Profile, resolve_keys
from simulators.cups_codec import CupsCodec
from simulators.cups_line import CupsLine
from simulators.state_file import StateFile
from simulators.xml_line import XmlLine


class NoLineError(Exception):
    """The simulators do not speak this profile's dialect; the text is for people."""


class LineMaker:
    """Makes the line of one bank and keeps its working key; `config` is the folder of the configuration."""

    def __init__(self, profile: Profile, config: Path, state: StateFile, *, production: bool) -> None:
        """Raises KeyReferenceError for a key that cannot be had."""
        self.profile = profile
        self.state = state
        self._keys = resolve_keys(profile, config, production=production)
        self._tree = profile.spec

    def make(self, serials: Callable[[], int]) -> CupsLine | XmlLine:
        """Return a new line; raises NoLineError when this dialect is not among the simulators'."""
        kind = self._tree.get("kind")
        if kind == "xml" and "mac" in self._keys:
            return XmlLine(self.profile.mapping, self._keys["mac"], str(self._tree.get("charset", "gbk")))
        if kind == "iso8583" and "master" in self._keys:
            stored = self.state.load_key(self._keys["master"])
            return CupsLine(
                CupsCodec(self._tree), self.profile.mapping, self._keys["master"], serials, stored
            )
        raise NoLineError(f"the simulators speak no {kind} line with the keys of {self.profile.name}")

    def keep_key(self, line: CupsLine | XmlLine) -> None:
        """Store the key that was just delivered, if one was; call this before anything is sent."""
        if isinstance(line, CupsLine):
            key = line.take_key()
            if key is not None:
                self.state.save_key(self._keys["master"], key)

    def offer_stored(self, line: CupsLine | XmlLine) -> None:
        """Let the line use the working key that any process of this bank was last given."""
        if isinstance(line, CupsLine):
            key = self.state.load_key(self._keys["master"])
            if key is not None:
                line.offer_key(key)
