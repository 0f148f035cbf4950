"""Message authentication codes: which fields, how their text is selected and joined, which algorithm, which
form.

All of that is data (`MacSpec`): no two banks agree on it.
"""

import dataclasses
import hmac
from collections.abc import Callable
from typing import Annotated, Literal

import annotated_types

from qianzhi.runtime.table import table
from qianzhi.wire.codec import Codec
from qianzhi.wire.errors import KeyCheckError, MacError
from qianzhi.wire.items import Message
from qianzhi.wire.mackey import MacKey
from qianzhi.wire.paths import get_path, put_path
from qianzhi.wire.text import SELECTIONS

DEFAULT_LIST = "default"


@table
class MacSpec:
    """How a dialect's MAC is made.

    `lists` are paths in their order, by the value at `choose_by` (the message type), else `default`; an empty
    list means that such messages carry no MAC.  `take` cuts a field's bytes to the first N, `with_prefix`
    names fields whose length digits go in.  `absent` says whether an absent field adds nothing or an empty
    text between joins. `form`: 8 or 16 upper-case hex characters, or four raw bytes of MAC and four of check
    value.
    """

    algorithm: Literal["x99", "x919", "by_length", "cbc3des"]
    lists: Annotated[dict[str, list[str]], annotated_types.MinLen(1)]
    field: str = "mac"
    form: Literal["hex8", "hex16", "raw4_kcv4"] = "hex8"
    choose_by: str = "mti"
    selection: Literal["cups", "none"] = "cups"
    join: str = " "
    absent: Literal["skip", "empty"] = "skip"
    with_prefix: list[str] = dataclasses.field(default_factory=list)
    take: dict[str, int] = dataclasses.field(default_factory=dict)


def fields_of(spec: MacSpec, message: Message) -> list[str]:
    """Return the paths that this message's MAC covers; empty when such a message carries none."""
    chosen = get_path(message, spec.choose_by)
    if isinstance(chosen, str) and chosen in spec.lists:
        return spec.lists[chosen]
    return spec.lists.get(DEFAULT_LIST, [])


def mac_input(spec: MacSpec, message: Message, codec: Codec) -> bytes:
    """Return the bytes that the MAC is computed over, before padding.

    Raises EncodeError when a field cannot be encoded; for a decoded message that never happens.
    """
    select = SELECTIONS[spec.selection]
    texts: list[bytes] = []
    for path in fields_of(spec, message):
        data = codec.field_bytes(path, message, path in spec.with_prefix)
        if data is not None:
            texts.append(select(data[: spec.take[path]] if path in spec.take else data))
        elif spec.absent == "empty":
            texts.append(b"")
    return spec.join.encode("ascii").join(texts)


def _x99(key: MacKey, data: bytes) -> bytes:
    if key.bytes != 8:
        raise KeyCheckError("X9.9 takes a key of 8 bytes")
    return key.des.chain_single(data)


def _by_length(key: MacKey, data: bytes) -> bytes:
    return key.des.chain_single(data) if key.bytes == 8 else key.des.chain_retail(data)


# With a key of 8 bytes X9.19 and 3DES-CBC are X9.9, so only X9.9 has to refuse a length.
ALGORITHMS: dict[str, Callable[[MacKey, bytes], bytes]] = {
    "x99": _x99,
    "x919": lambda key, data: key.des.chain_retail(data),
    "by_length": _by_length,
    "cbc3des": lambda key, data: key.des.chain_triple(data),
}


def _raw4_kcv4(mac: bytes, key: MacKey) -> bytes:
    return mac[:4] + key.encrypt(bytes(8))[:4]


FORMS: dict[str, Callable[[bytes, MacKey], bytes]] = {
    "hex8": lambda mac, key: mac[:4].hex().upper().encode("ascii"),
    "hex16": lambda mac, key: mac.hex().upper().encode("ascii"),
    "raw4_kcv4": _raw4_kcv4,
}


def compute_mac(spec: MacSpec, message: Message, codec: Codec, key: MacKey) -> bytes:
    """Return the MAC of a message in the spec's form."""
    mac = ALGORITHMS[spec.algorithm](key, mac_input(spec, message, codec))
    return FORMS[spec.form](mac, key)


def make_mac(spec: MacSpec, message: Message, codec: Codec, key: MacKey) -> None:
    """Put the MAC into the message at `spec.field`, as bytes or text as the dialect has it there.

    A message whose list is empty is left alone.
    """
    if not fields_of(spec, message):
        return
    value = compute_mac(spec, message, codec, key)
    put_path(message, spec.field, value if codec.binary(spec.field) else value.decode("ascii"))


def verify_mac(spec: MacSpec, message: Message, codec: Codec, keys: list[MacKey]) -> MacKey | None:
    """Return the first of the keys under which the message's MAC is right; the answer is made under the same
    one.

    None when the message's list is empty, so that it needs no MAC.  Raises MacError when the MAC is absent or
    wrong under all keys.  Compares in constant time; lower-case hex is no right MAC.
    """
    paths = fields_of(spec, message)
    if not paths:
        return None
    found = get_path(message, spec.field)
    if isinstance(found, str):
        found = found.encode("utf-8", "replace")
    if not isinstance(found, bytes):
        raise MacError("the message carries no MAC")
    if not keys:
        raise MacError("there is no key to check the MAC with")
    data = mac_input(spec, message, codec)
    for key in keys:
        mac = FORMS[spec.form](ALGORITHMS[spec.algorithm](key, data), key)
        if hmac.compare_digest(mac, found):
            return key
    raise MacError("the MAC is wrong")
