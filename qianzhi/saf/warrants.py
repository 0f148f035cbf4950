"""Warrants and receipts: how a daemon knows that two operators want an act, and a bridge what became of it.

Pure.

    warrant = HMAC-SHA256(key of acts, JSON of ["warrant", act, kind, entry, why])
    receipt = HMAC-SHA256(key of acts, JSON of ["receipt", act, kind, entry, result, detail])

The key of acts is made of the site's link key, which the site's daemons have and nobody else.  A bridge gives
a warrant for an act that another operator has approved, and for that act, kind and entry alone; the daemon
that has the entry carries it out once, because the entry keeps the act's number.  Its receipt says what came
of it, and without one no act about an entry ends.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

PURPOSE = b"qianzhi acts of operators"  # so that no proof of link is ever one of these


class Asked(NamedTuple):
    """An act as the daemon that has the entry is asked for it: its number, its kind, and why."""

    act: str
    kind: str
    entry: str
    why: str


class Warrants:
    """Makes and compares both; whoever has the link key can."""

    def __init__(self, link_key: bytes) -> None:
        self._key = hmac.digest(link_key, PURPOSE, "sha256")

    def warrant(self, asked: Asked) -> str:
        """Return the warrant of an approved act."""
        return self._proof(["warrant", *asked])

    def receipt(self, asked: Asked, result: str, detail: Mapping[str, Any]) -> str:
        """Return the receipt of an act that has come to something."""
        return self._proof(["receipt", *asked[:3], result, dict(detail)])

    def allows(self, asked: Asked, warrant: str) -> bool:
        """Say whether a bridge has given this warrant for exactly this."""
        return _same(warrant, self.warrant(asked))

    def proves(self, asked: Asked, result: str, detail: Mapping[str, Any], receipt: str) -> bool:
        """Say whether a daemon that has carried this act out says so."""
        return _same(receipt, self.receipt(asked, result, detail))

    def _proof(self, said: list[Any]) -> str:
        text = json.dumps(said, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
        return hmac.new(self._key, text.encode("ascii"), hashlib.sha256).hexdigest()


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode("ascii"))
