"""A MAC key: its bytes, whatever algorithm they are for, and its DES schedule once that is asked for."""

from functools import cached_property

from qianzhi.wire.des import DesKey
from qianzhi.wire.errors import KeyCheckError


class MacKey:
    """A key that MACs are made with; how long it must be, its algorithm says.  Its text form shows nothing.

    `material` is for algorithms alone, and for whoever wraps the key; nothing may print it.
    """

    def __init__(self, material: bytes) -> None:
        self.material = material
        self.bytes = len(material)

    def __repr__(self) -> str:
        return f"MacKey({self.bytes} bytes)"

    @cached_property
    def des(self) -> DesKey:
        """The key made ready for DES; raises KeyCheckError when it has another length than 8 or 16."""
        if self.bytes not in (8, 16):
            raise KeyCheckError("a DES key has 8 or 16 bytes")
        return DesKey(self.material)

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt whole blocks independently (ECB) by DES or 3DES, as its length is."""
        return self.des.encrypt(data)
