"""MACs as a simulated bank makes and checks them, from the profile's [mac] table and nothing of `wire`.

DES is pycryptodome's (`des`), digests and HMACs are hashlib's and hmac's, SM3 and SM4 are cryptography's, the
POS terminals' block folding is written here again.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simulators.codecs import BankCodec, BankCodecError
from simulators.codecs.paths import put_at, value_at
from simulators.des import cbc_triple, check_value, encrypt, mac_of, pick_bytes, same_mac, x99, x919

if TYPE_CHECKING:
    from qianzhi.wire.mac import MacSpec  # its shape alone: what the table says

Message = dict[str, Any]
Make = Callable[[bytes, bytes], bytes]  # key, data

DIGESTS = ("md5", "sha1", "sha256", "sm3")


def pos_ecb(key: bytes, data: bytes) -> bytes:
    """Return the MAC of POS terminals: XOR of all blocks, its hex letters encrypted half by half."""
    blocks = [data[at : at + 8].ljust(8, b"\0") for at in range(0, len(data), 8)]
    letters = _xor(*blocks).hex().upper().encode("ascii")
    return encrypt(key, _xor(encrypt(key, letters[:8]), letters[8:]))


def _xor(*blocks: bytes) -> bytes:
    total = 0
    for block in blocks:
        total ^= int.from_bytes(block, "big")
    return total.to_bytes(8, "big")


def sm4_cbc(key: bytes, data: bytes) -> bytes:
    """Return the last block of SM4-CBC from zero, data filled up with zeros."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    writer = Cipher(algorithms.SM4(key), modes.CBC(bytes(16))).encryptor()
    return (writer.update((data + bytes(-len(data) % 16)) or bytes(16)) + writer.finalize())[-16:]


def _sm3(data: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes

    digest = hashes.Hash(hashes.SM3())
    digest.update(data)
    return digest.finalize()


def _digest(name: str, data: bytes) -> bytes:
    return _sm3(data) if name == "sm3" else hashlib.new(name, data, usedforsecurity=False).digest()


def hmac_sm3(key: bytes, data: bytes) -> bytes:
    """Return the HMAC of RFC 2104 over SM3, put together from its two digests."""
    block = (key if len(key) <= 64 else _sm3(key)).ljust(64, b"\0")
    inner = _sm3(bytes(byte ^ 0x36 for byte in block) + data)
    return _sm3(bytes(byte ^ 0x5C for byte in block) + inner)


ALGORITHMS: dict[str, Make] = {
    "x99": x99,
    "x919": x919,
    "by_length": mac_of,
    "cbc3des": cbc_triple,
    "pos_ecb": pos_ecb,
    "sm4cbc": sm4_cbc,
    "hmac_md5": lambda key, data: hmac.new(key, data, "md5").digest(),
    "hmac_sha1": lambda key, data: hmac.new(key, data, "sha1").digest(),
    "hmac_sha256": lambda key, data: hmac.new(key, data, "sha256").digest(),
    "hmac_sm3": hmac_sm3,
}

# Of a form: how many bytes or letters it has, and the bytes of MAC that go into it.
FORM_SIZES = {
    "hex8": 8,
    "hex16": 16,
    "hex32": 32,
    "hex40": 40,
    "hex64": 64,
    "hex8_zeros16": 16,
    "ascii8": 8,
    "raw4": 4,
    "raw8": 8,
    "raw4_kcv4": 8,
}


def sign(table: "MacSpec", message: Message, codec: BankCodec, key: bytes) -> None:
    """Put the MAC into a message, if such a message carries one."""
    if not carries(table, message):
        return
    if table.covers == "fields":
        data = field_text(table, message, codec)
    else:
        _put(table, message, codec, b"0" * FORM_SIZES[table.form])
        data = _around(codec, codec.encode(message), table)
    _put(table, message, codec, written(table, key, data))


def is_signed(table: "MacSpec", message: Message, codec: BankCodec, key: bytes, frame: bytes) -> bool:
    """Tell whether a message that came as `frame` has the right MAC, or needs none."""
    if not carries(table, message):
        return True
    found = value_at(message, table.field)
    if isinstance(found, str):
        found = found.encode("ascii", "replace")
    if not isinstance(found, bytes):
        return False
    try:
        by_fields = table.covers == "fields"
        data = field_text(table, message, codec) if by_fields else _around(codec, frame, table)
    except BankCodecError:
        return False
    return same_mac(found, written(table, key, data))


def _around(codec: BankCodec, frame: bytes, table: "MacSpec") -> bytes:
    """Return the bytes of a message that its MAC covers: before it, after it, or both."""
    sides = ("before", "after") if table.covers == "around" else (table.covers,)
    return b"".join([codec.covered(frame, table.field, side) for side in sides])


def carries(table: "MacSpec", message: Message) -> bool:
    """Tell whether such a message carries a MAC: not where its list is empty."""
    listed = _list_of(table, message)
    return bool(listed) if table.covers == "fields" else listed != []


def _list_of(table: "MacSpec", message: Message) -> list[str] | None:
    chosen = value_at(message, table.choose_by)
    return table.lists.get(chosen if isinstance(chosen, str) else "", table.lists.get("default"))


def field_text(table: "MacSpec", message: Message, codec: BankCodec) -> bytes:
    """Return the listed fields' bytes, selected, cut and joined as the table says."""
    parts = []
    for path in _list_of(table, message) or []:
        data = codec.field(path, message, with_prefix=path in table.with_prefix)
        if data is None:
            if table.absent == "empty":
                parts.append(b"")
            continue
        data = data[: table.take.get(path, len(data))]
        parts.append(pick_bytes(data) if table.selection == "cups" else data)
    return table.join.encode("ascii").join(parts)


def written(table: "MacSpec", key: bytes, data: bytes) -> bytes:
    """Return the MAC of some bytes in the table's form."""
    if table.algorithm in DIGESTS:
        places = {"before": key + data, "after": data + key, "none": data}
        mac = _digest(table.algorithm, places[table.key_place])
    else:
        mac = ALGORITHMS[table.algorithm](key, data)
    size = FORM_SIZES[table.form]
    if table.form == "raw4_kcv4":
        return mac[:4] + check_value(key)
    if table.form.startswith("raw"):
        return mac[:size]
    text = mac.hex().upper() if table.case == "upper" else mac.hex()
    return (text[:8] + "0" * 8 if table.form == "hex8_zeros16" else text[:size]).encode("ascii")


def _put(table: "MacSpec", message: Message, codec: BankCodec, value: bytes) -> None:
    put_at(message, table.field, value if codec.binary(table.field) else value.decode("ascii"))
