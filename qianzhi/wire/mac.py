"""Message authentication codes: what they cover, how fields are selected and joined, which algorithm, which
form.

All of that is data (`MacSpec`): no two banks agree on it.  A MAC covers listed fields, or every byte of the
message that stands before or after it on the wire.
"""

import dataclasses
import hmac
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from qianzhi.runtime.table import table
from qianzhi.wire.algorithms import ALGORITHMS, DIGESTS, KEY_BYTES, MAC_BYTES, authenticate, expected_key
from qianzhi.wire.codec import Codec, Side
from qianzhi.wire.des import BLOCK_BYTES
from qianzhi.wire.errors import EncodeError, MacError
from qianzhi.wire.items import Message
from qianzhi.wire.mac_plan import Gather, Gathers, Joining
from qianzhi.wire.mackey import MacKey
from qianzhi.wire.paths import get_path, put_path
from qianzhi.wire.text import SELECTIONS

__all__ = ["FORMS", "KEY_BYTES", "MAC_BYTES", "MacSpec", "Sealer", "carries_mac", "compute_mac"]
__all__ += ["expected_key", "fields_of", "mac_input", "make_mac", "spec_faults", "verify_mac"]

DEFAULT_LIST = "default"
NO_KEY = MacKey(b"")


# Which bytes around a MAC it covers, where it does not cover listed fields.
SIDES: dict[str, tuple[Side, ...]] = {
    "before": ("before",),
    "after": ("after",),
    "around": ("before", "after"),
}


@table
class MacSpec:
    """How a dialect's MAC is made.

    algorithm    a row of `algorithms`; a digest (md5, sha1, sha256, sm3) says by `key_place` where the key's
                 bytes enter: after the data, before it, or not at all, and then it proves nothing
    covers       "fields": those of `lists`; "before", "after": all bytes of the message on that side of it;
                 "around": all but its own
    lists        paths in their order, by the value at `choose_by` (the message type), else `default`; with an
                 empty list such messages carry no MAC, which is all that a list says where bytes are covered
    field        where it stands
    form, case   how it is written; see FORMS
    selection, join, absent, with_prefix, take
                 of fields: which characters count, what joins them, whether an absent field adds nothing or
                 an empty text, whose length digits go in, and of which only the first N bytes do
    """

    algorithm: Literal[
        "x99",
        "x919",
        "by_length",
        "cbc3des",
        "pos_ecb",
        "sm4cbc",
        "hmac_md5",
        "hmac_sha1",
        "hmac_sha256",
        "hmac_sm3",
        "md5",
        "sha1",
        "sha256",
        "sm3",
    ]
    key_place: Literal["before", "after", "none"] = "after"
    covers: Literal["fields", "before", "after", "around"] = "fields"
    lists: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    field: str = "mac"
    form: Literal[
        "hex8",
        "hex16",
        "hex32",
        "hex40",
        "hex64",
        "hex8_zeros16",
        "ascii8",
        "raw4",
        "raw8",
        "raw4_kcv4",
    ] = "hex8"
    case: Literal["upper", "lower"] = "upper"
    choose_by: str = "mti"
    selection: Literal["cups", "none"] = "cups"
    join: str = " "
    absent: Literal["skip", "empty"] = "skip"
    with_prefix: list[str] = dataclasses.field(default_factory=list)
    take: dict[str, int] = dataclasses.field(default_factory=dict)


class Form(NamedTuple):
    """How a MAC is written: from its first `mac_bytes`, in `length` characters or bytes."""

    write: Callable[[bytes, MacKey], bytes]
    mac_bytes: int
    length: int


def _hex(mac_bytes: int) -> Form:
    return Form(lambda mac, _: mac[:mac_bytes].hex().upper().encode("ascii"), mac_bytes, 2 * mac_bytes)


def _raw(mac_bytes: int) -> Form:
    return Form(lambda mac, _: mac[:mac_bytes], mac_bytes, mac_bytes)


FORMS: dict[str, Form] = {
    "hex8": _hex(4),
    "hex16": _hex(8),
    "hex32": _hex(16),
    "hex40": _hex(20),
    "hex64": _hex(32),
    "hex8_zeros16": Form(lambda mac, _: mac[:4].hex().upper().encode("ascii") + b"0" * 8, 4, 16),
    "ascii8": _hex(4),  # what POS terminals call their MAC: the first eight characters, as eight bytes
    "raw4": _raw(4),
    "raw8": _raw(8),
    "raw4_kcv4": Form(lambda mac, key: mac[:4] + key.encrypt(bytes(8))[:4], 4, 8),
}

HEX_FORMS = ("hex8", "hex16", "hex32", "hex40", "hex64", "ascii8")


def fields_of(spec: MacSpec, message: Message) -> list[str]:
    """Return the paths that this message's MAC covers; empty when such a message carries none."""
    return _list_of(spec, message) or []


def carries_mac(spec: MacSpec, message: Message) -> bool:
    """Tell whether such a message carries a MAC at all."""
    return _carries(spec, _list_of(spec, message))


def _carries(spec: MacSpec, paths: list[str] | None) -> bool:
    return bool(paths) if spec.covers == "fields" else paths != []


def _list_of(spec: MacSpec, message: Message) -> list[str] | None:
    chosen = get_path(message, spec.choose_by)
    if isinstance(chosen, str) and chosen in spec.lists:
        return spec.lists[chosen]
    return spec.lists.get(DEFAULT_LIST)


def mac_input(spec: MacSpec, message: Message, codec: Codec, body: bytes = b"") -> bytes:
    """Return the bytes that the MAC is computed over, before padding.

    `body` is the message as it came, which counts where bytes are covered; without it the message is encoded
    with a blank MAC.  Raises EncodeError when that cannot be done; for a decoded message that never happens.
    """
    return _covered(spec, _list_of(spec, message) or [], message, codec, body)


def _covered(spec: MacSpec, paths: list[str], message: Message, codec: Codec, body: bytes) -> bytes:
    if spec.covers != "fields":
        body = body or codec.encode(_blanked(spec, message, codec))
        return b"".join([codec.covered(body, spec.field, side) for side in SIDES[spec.covers]])
    gather = _gatherer(spec, paths, codec)
    return _one_by_one(spec, paths, message, codec) if gather is None else gather(message)


def _one_by_one(spec: MacSpec, paths: list[str], message: Message, codec: Codec) -> bytes:
    """Return the listed fields' bytes, each asked of the codec."""
    select = SELECTIONS[spec.selection]
    texts: list[bytes] = []
    for path in paths:
        data = codec.field_bytes(path, message, path in spec.with_prefix)
        if data is not None:
            texts.append(select(data[: spec.take[path]] if path in spec.take else data))
        elif spec.absent == "empty":
            texts.append(b"")
    return spec.join.encode("ascii").join(texts)


def _gatherer(spec: MacSpec, paths: list[str], codec: Codec) -> Gather | None:
    """Return what gathers a list of fields at a stroke, None where the dialect has no such thing.

    A codec keeps what was made, and with it whatever names it, so that nothing else can have its place.
    """
    known = getattr(codec, "gatherers", None)
    if not paths or known is None:
        return None
    kept: tuple[Gather | None, object, object] | None = known.get((id(spec), id(paths)))
    if kept is None and isinstance(codec, Gathers):
        joining = Joining(spec.selection, spec.join.encode("ascii"), spec.absent == "empty")
        slow = partial(_one_by_one, spec, paths, codec=codec)
        gather = codec.gatherer(paths, spec.with_prefix, spec.take, joining, slow)
        kept = codec.gatherers[id(spec), id(paths)] = (gather, spec, paths)
    return None if kept is None else kept[0]


def _blanked(spec: MacSpec, message: Message, codec: Codec) -> Message:
    """Return the message with a blank MAC in its place, so that bitmaps and lengths are right."""
    blanked = _copied(message, spec.field.split(".")[:-1])
    _put(spec, blanked, codec, b"0" * FORMS[spec.form].length)
    return blanked


def _copied(message: Message, steps: list[str]) -> Message:
    """Copy the tables on the way to a path, so that the message itself stays as it is."""
    copied = {**message}
    if steps and isinstance(copied.get(steps[0]), dict):
        copied[steps[0]] = _copied(copied[steps[0]], steps[1:])
    return copied


def compute_mac(spec: MacSpec, message: Message, codec: Codec, key: MacKey) -> bytes:
    """Return the MAC of a message in the spec's form."""
    return _written(spec, key, mac_input(spec, message, codec))


def _written(spec: MacSpec, key: MacKey, data: bytes) -> bytes:
    mac = authenticate(spec.algorithm, spec.key_place, key, data)
    text = FORMS[spec.form].write(mac, key)
    return text.lower() if spec.case == "lower" and _is_text(spec) else text


def _is_text(spec: MacSpec) -> bool:
    return not spec.form.startswith("raw")


def make_mac(spec: MacSpec, message: Message, codec: Codec, key: MacKey) -> None:
    """Put the MAC into the message at `spec.field`, as bytes or text as the dialect has it there.

    A message whose list is empty is left alone.
    """
    paths = _list_of(spec, message)
    if _carries(spec, paths):
        data = _covered(spec, paths or [], message, codec, b"")
        _put(spec, message, codec, _written(spec, key, data))


def _put(spec: MacSpec, message: Message, codec: Codec, value: bytes) -> None:
    put_path(message, spec.field, value if codec.binary(spec.field) else value.decode("ascii"))


def verify_mac(
    spec: MacSpec, message: Message, codec: Codec, keys: list[MacKey], body: bytes = b""
) -> MacKey | None:
    """Return the first of the keys under which the message's MAC is right; the answer is made under the same
    one.

    `body` is the message as it came.  None when such a message needs no MAC.  Raises MacError when the MAC is
    absent or wrong under all keys.  Compares in constant time; hex in the other case is no right MAC.
    """
    paths = _list_of(spec, message)
    if not _carries(spec, paths):
        return None
    found = get_path(message, spec.field)
    if isinstance(found, str):
        found = found.encode("utf-8", "replace")
    if not isinstance(found, bytes):
        raise MacError("the message carries no MAC")
    if not keys and spec.key_place != "none":
        raise MacError("there is no key to check the MAC with")
    try:
        data = _covered(spec, paths or [], message, codec, body)
    except EncodeError as error:
        raise MacError("the message has no bytes that its MAC could cover") from error
    for key in keys or [NO_KEY]:
        if hmac.compare_digest(_written(spec, key, data), found):
            return key
    raise MacError("the MAC is wrong")


class Sealer:
    """A spec's MACs on the messages of one codec, with all that is the same for each of them decided once.

    `make` and `verify` do what `make_mac` and `verify_mac` do, which are asked wherever the shape is not the
    commonest: hex digits, as text or bytes, at the top of the message, made by a keyed algorithm over listed
    fields.
    """

    def __init__(self, spec: MacSpec, codec: Codec) -> None:
        self._spec, self._codec = spec, codec
        self._chosen_at = spec.choose_by
        *tables, self._field = spec.field.split(".")
        self._table = tables[0] if tables else ""  # that the field stands in
        self._gathers: dict[str, Gather | None] = {}
        self._binary, self._lower, self._named = codec.binary(spec.field), spec.case == "lower", False
        self._other: Gather | None = None  # of the messages that no list names
        if spec.algorithm not in ALGORITHMS or not self._is_plain():
            return
        self._authenticate = ALGORITHMS[spec.algorithm].make
        self._retail = spec.algorithm == "x919"  # the commonest, without a call
        self._key_bytes = KEY_BYTES[spec.algorithm]
        self._mac_bytes = FORMS[spec.form].mac_bytes
        for chosen, paths in spec.lists.items():
            self._gathers[chosen] = _gatherer(spec, paths, codec)
        self._other = self._gathers.get(DEFAULT_LIST)
        self._named = len(self._gathers) > 1 or self._other is None

    def _is_plain(self) -> bool:
        spec = self._spec
        return spec.form in HEX_FORMS and spec.covers == "fields" and spec.field.count(".") < 2

    def _gather_of(self, message: Message) -> Gather | None:
        if not self._named:
            return self._other
        chosen = get_path(message, self._chosen_at)
        return self._gathers.get(chosen, self._other) if chosen.__class__ is str else self._other

    def make(self, message: Message, key: MacKey) -> None:
        """Put the MAC into the message; raises EncodeError and KeyCheckError as `make_mac` does."""
        gather = self._gather_of(message)
        table = message.get(self._table) if self._table else message
        if gather is None or key.bytes not in self._key_bytes or table.__class__ is not dict:
            return make_mac(self._spec, message, self._codec, key)
        data = gather(message)
        mac = key.des.chain_retail(data) if self._retail else self._authenticate(key, data)
        text = mac[: self._mac_bytes].hex()
        text = text if self._lower else text.upper()
        table[self._field] = text.encode("ascii") if self._binary else text
        return None

    def verify(self, message: Message, keys: list[MacKey], body: bytes) -> MacKey | None:
        """Return the key under which the message's MAC is right, None where it needs none; raises MacError as
        `verify_mac` does."""
        gather = self._gather_of(message)
        table = message.get(self._table) if self._table else message
        found = table.get(self._field) if table.__class__ is dict else None
        if gather is None or len(keys) != 1 or found.__class__ is not (bytes if self._binary else str):
            return verify_mac(self._spec, message, self._codec, keys, body)
        key = keys[0]
        if key.bytes not in self._key_bytes or not found.isascii():
            return verify_mac(self._spec, message, self._codec, keys, body)
        try:
            data = gather(message)
        except EncodeError as error:
            raise MacError("the message has no bytes that its MAC could cover") from error
        mac = key.des.chain_retail(data) if self._retail else self._authenticate(key, data)
        text = mac[: self._mac_bytes].hex()
        text = text if self._lower else text.upper()
        given = found if isinstance(found, bytes) else found.encode("ascii")
        if hmac.compare_digest(text.encode("ascii"), given):
            return key
        raise MacError("the MAC is wrong")


def spec_faults(spec: MacSpec) -> list[tuple[str, str, str]]:
    """Return what does not fit together in a MAC's rows, as (key, found, expected); paths are not looked
    at."""
    faults = []
    form = FORMS[spec.form]
    if form.mac_bytes > MAC_BYTES[spec.algorithm]:
        expected = f"a form of at most {MAC_BYTES[spec.algorithm]} bytes, which {spec.algorithm} makes"
        faults.append(("form", repr(spec.form), expected))
    if spec.form == "raw4_kcv4" and MAC_BYTES[spec.algorithm] != BLOCK_BYTES:
        faults.append(("form", repr(spec.form), "another form, since its check value is made by DES"))
    faults += _field_faults(spec) if spec.covers == "fields" else _byte_faults(spec)
    if spec.key_place != "after" and spec.algorithm not in DIGESTS:
        faults.append(("key_place", repr(spec.key_place), "nothing, since it is for digests"))
    return faults


def _field_faults(spec: MacSpec) -> list[tuple[str, str, str]]:
    """A row for a field that no list has does nothing, and a MAC cannot cover itself."""
    faults = [] if spec.lists else [("lists", "missing", "the fields that it covers")]
    if not spec.join.isascii():
        faults.append(("join", "letters beyond ASCII", "ASCII between the fields, or nothing"))
    for name, paths in spec.lists.items():
        if spec.field in paths:
            faults.append((f"lists.{name}", f"{spec.field} itself", "the fields that it covers"))
    listed = {path for paths in spec.lists.values() for path in paths}
    for name, rows in (("with_prefix", spec.with_prefix), ("take", list(spec.take))):
        faults += [
            (f"{name}.{path}", "in no list", "a field of the lists") for path in rows if path not in listed
        ]
    faults += [(f"take.{path}", str(size), "at least 1 byte") for path, size in spec.take.items() if size < 1]
    return faults


def _byte_faults(spec: MacSpec) -> list[tuple[str, str, str]]:
    """Fields mean nothing where bytes are covered; who lists some expects something else."""
    faults = [
        (f"lists.{name}", "fields", f"no fields, since it covers all bytes {spec.covers} it")
        for name, paths in spec.lists.items()
        if paths
    ]
    for name, value in (("with_prefix", spec.with_prefix), ("take", spec.take)):
        if value:
            faults.append((name, "fields", f"nothing, since it covers all bytes {spec.covers} it"))
    return faults
