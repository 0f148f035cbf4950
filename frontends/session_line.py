"""What a session is made for and what it is asked, shared by the parts of a session.  Pure data."""

from collections.abc import Hashable
from typing import NamedTuple

from frontends.mapping import Mapping
from frontends.mapping_rows import Message
from frontends.profile_tables import SessionTable
from frontends.seal import Seal
from frontends.session_delivery import Delivery
from frontends.session_exchange import Exchange
from frontends.session_keys import LineKeys
from qianzhi.wire.mackey import MacKey


class Line(NamedTuple):
    """What a session is made for: the bank's name, its rules, and how its messages are written.

    `author` names this process as no other one is ever named.
    """

    bank: str
    rules: SessionTable
    mapping: Mapping
    seal: Seal
    author: str


class Exchanged(NamedTuple):
    """What a line with exchanged keys has: the keys, and one of two ways in which they travel."""

    keys: LineKeys
    delivery: Delivery | None = None
    exchange: Exchange | None = None


class Asked(NamedTuple):
    """One management message of the bank, and the key of its MAC where it must have one."""

    source: Hashable
    message: Message
    mac_key: MacKey | None = None
