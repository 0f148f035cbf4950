"""From a bank's profile to its line at the other end, and the working key that is kept for it."""

import os
from collections.abc import Callable
from pathlib import Path

from frontends.profile import Profile, resolve_keys
from simulators.bank_line import BankLine
from simulators.codecs import BankCodecError, bank_codec
from simulators.state_file import StateFile


class NoLineError(Exception):
    """The simulators do not speak this profile's dialect; the text is for people."""


class LineMaker:
    """Makes the line of one bank and keeps its working key; `config` is the folder of the configuration."""

    def __init__(self, profile: Profile, config: Path, state: StateFile, *, production: bool) -> None:
        """Raises KeyReferenceError for a key that cannot be had."""
        self.profile = profile
        self.state = state
        self._keys = resolve_keys(profile, config, production=production)

    def make(self, serials: Callable[[], int]) -> BankLine:
        """Return a new line; raises NoLineError when this dialect is not among the simulators'."""
        wanted = {"static": "mac", "ours": "master", "theirs": "master"}.get(self.profile.session.keys)
        if wanted is not None and wanted not in self._keys:
            raise NoLineError(f"there is no line of {self.profile.name} without its {wanted} key")
        try:
            codec = bank_codec(self.profile.spec)
        except (BankCodecError, KeyError) as error:
            raise NoLineError(f"the simulators speak no line of {self.profile.name}: {error}") from error
        return BankLine(self.profile, codec, self._keys, serials, os.urandom, self._stored())

    def keep_key(self, line: BankLine) -> None:
        """Store the key that was just agreed, if one was; call this before anything is sent."""
        key = line.take_key()
        if key is not None:
            self.state.save_key(self._keys["master"], key)

    def offer_stored(self, line: BankLine) -> None:
        """Let the line use the working key that any process of this bank was last given."""
        key = self._stored()
        if key is not None:
            line.offer_key(key)

    def _stored(self) -> bytes | None:
        """Return the working key that is kept, None where there is none or keys are not agreed on."""
        if self.profile.session.keys not in ("ours", "theirs") or "master" not in self._keys:
            return None
        return self.state.load_key(self._keys["master"])
