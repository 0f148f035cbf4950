"""What can be wrong with a bank's keys and MACs: references, lengths, places, and gaps in the protection.

Key references are resolved here, which may read files; no key ever stands in a problem.
"""

from collections.abc import Iterator
from pathlib import Path

from frontends.mapping_rows import ANYTHING, meet, split_row, values_of
from frontends.mapping_tables import When
from frontends.profile_tables import BankTable
from qianzhi.runtime.problems import Problem
from qianzhi.runtime.secrets import KeyReferenceError, resolve_key
from qianzhi.wire.codec import Codec
from qianzhi.wire.keys import CHECK_BYTES, DeliverySpec, is_weak
from qianzhi.wire.mac import DEFAULT_LIST, FORMS, KEY_BYTES, MacSpec, expected_key, spec_faults

Finding = tuple[str, str, str]  # dotted key, found, expected

MASTER_BYTES = 16
NEEDED = {"ours": "master", "theirs": "master", "static": "mac"}  # the key of each way to have keys
EXCHANGED = ("ours", "theirs")
MOVING = (
    "recharge",
    "pay",
    "status",
    "reversal",
    "void",
)  # asking for a status settles, so it moves money too
BY_DES = frozenset({"x99", "x919", "by_length", "cbc3des", "pos_ecb"})
WITHOUT_MAC = ("sign_on", "key_request", "key_delivery")  # messages that bring the key, or ask for it


def key_problems(
    bank: BankTable, codec: Codec | None, file: str, config: Path | None, *, production: bool
) -> list[Problem]:
    """Return everything that is wrong with a bank's keys and MACs; no `config`, no key is read."""
    findings = [
        *_reference_findings(bank, config, production=production),
        *_protection_findings(bank, codec),
        *_exchange_findings(bank, codec),
    ]
    if bank.mac is not None:
        findings += [(f"mac.{key}", found, expected) for key, found, expected in spec_faults(bank.mac)]
        findings += _gap_findings(bank, bank.mac)
        findings += _mac_place_findings(bank.mac, codec) if codec is not None else []
    return [Problem(file, *finding) for finding in findings]


def _reference_findings(bank: BankTable, config: Path | None, *, production: bool) -> Iterator[Finding]:
    way = bank.session.keys
    needed = NEEDED.get(way)
    for name, reference in (("master", bank.keys.master), ("mac", bank.keys.mac)):
        if not reference:
            if name == needed:
                yield f"keys.{name}", "missing", f"a key reference, for session.keys = {way!r}"
            continue
        if name != needed:
            yield f"keys.{name}", "a key reference", f"nothing, since session.keys = {way!r} uses none"
        if config is None:
            continue
        try:
            key = resolve_key(reference, production=production, base=config)
        except KeyReferenceError as error:
            yield f"keys.{name}", "a reference that gives no key", error.expected
            continue
        if name == "master" and len(key) != MASTER_BYTES:
            yield f"keys.{name}", f"a key of {len(key)} bytes", f"{MASTER_BYTES} bytes"
        if name == "mac" and bank.mac and len(key) not in KEY_BYTES[bank.mac.algorithm]:
            yield f"keys.{name}", f"a key of {len(key)} bytes", expected_key(bank.mac.algorithm)
        elif (name == "master" or (bank.mac and bank.mac.algorithm in BY_DES)) and is_weak(key):
            yield f"keys.{name}", "a weak key of DES, or two equal halves", "a key made at random"


def _protection_findings(bank: BankTable, codec: Codec | None) -> Iterator[Finding]:
    if (bank.session.keys == "none") != (bank.mac is None):
        found = "present" if bank.mac else "missing"
        yield "mac", found, "a table [mac] exactly where session.keys are used"
    if bank.mac is None and bank.protection.required:
        yield "protection.required", "messages with a MAC", "a table [mac]"
    known = codec.paths() if codec else set()
    for index, when in enumerate(bank.protection.required):
        for path, wanted in when.items():
            key = f"protection.required.{index}.{path}"
            if codec and path not in known:
                yield key, f"the path {path!r}", "a path of the message spec"
            if not values_of(wanted):
                yield key, "an empty list", "at least one value"
        for name in WITHOUT_MAC if bank.session.keys in EXCHANGED else ():
            rows = bank.management.get(name)
            if rows is not None and _may_cover(when, rows.when):
                found = f"a MAC of management.{name}"
                yield f"protection.required.{index}", found, "none, since the key comes with it or after it"


def _may_cover(demand: When, when: When) -> bool:
    """Tell whether some message of a `when` meets the demand."""
    return all(
        path not in when or meet(values_of(when[path]), values_of(demand[path])) for path in demand
    ) and any(path in when for path in demand)


def _gap_findings(bank: BankTable, mac: MacSpec) -> Iterator[Finding]:
    """Find money that would move without a MAC, and messages whose MAC would cover nothing."""
    for name, rows in bank.transactions.items():
        if rows.kind in MOVING and not any(_covers(when, rows.when) for when in bank.protection.required):
            expected = "a row that demands a MAC of this transaction"
            yield "protection.required", f"nothing for transactions.{name}", expected
        yield from _case_findings(name, {**bank.request.take, **rows.take}, mac)
    for name in ("cutover", "cutover_begin"):
        line = bank.management.get(name)
        if line and not bank.dated and not any(_covers(when, line.when) for when in bank.protection.required):
            expected = "a row that demands a MAC of this notice, which moves the dates of money"
            yield "protection.required", f"nothing for management.{name}", expected
    for index, when in enumerate(bank.protection.required):
        if not _all_carry(mac, when):
            found = f"no MAC for all that protection.required.{index} means"
            yield "mac.lists", found, "fields for every message that must carry a MAC"


def _case_findings(name: str, take: dict[str, str | list[str]], mac: MacSpec) -> Iterator[Finding]:
    """A selection that makes letters upper-case leaves their case open, and a serial in the other case is
    another key: the same MAC would serve for a second payment.
    """
    for row in (
        values_of(take.get("serial", [])) if mac.covers == "fields" and mac.selection == "cups" else ()
    ):
        if not split_row(row)[1].startswith("digits:"):
            expected = "digits, since mac.selection = 'cups' does not tell capitals from small letters"
            yield f"transactions.{name}.take.serial", repr(row), expected


def _all_carry(mac: MacSpec, when: When) -> bool:
    """Tell whether every message that fits carries a MAC, as far as `choose_by` says which list is its."""
    chosen = [value for value in values_of(when.get(mac.choose_by, [])) if value not in ("", ANYTHING)]
    by_bytes = mac.covers != "fields"
    default = mac.lists.get(DEFAULT_LIST)
    lists = [mac.lists.get(value, default) for value in chosen] or [*mac.lists.values(), default]
    return all(fields != [] if by_bytes else bool(fields) for fields in lists)


def _covers(demand: When, when: When) -> bool:
    """Tell whether every message of a `when` meets the demand."""
    return all(path in when and _within(values_of(when[path]), values_of(demand[path])) for path in demand)


def _within(values: list[str], demanded: list[str]) -> bool:
    """Tell whether whatever fits the values fits what is demanded."""
    return all(value in demanded or (value and ANYTHING in demanded) for value in values)


def _mac_place_findings(mac: MacSpec, codec: Codec) -> Iterator[Finding]:
    """A path that the spec does not have adds nothing to a MAC, silently; so it must not stand there."""
    known = codec.paths()
    places = [("mac.field", mac.field)]
    places += [("mac.choose_by", mac.choose_by)] if set(mac.lists) - {DEFAULT_LIST} else []
    places += [
        (f"mac.lists.{name}.{index}", path)
        for name, row in mac.lists.items()
        for index, path in enumerate(row)
    ]
    places += [("mac.with_prefix", path) for path in mac.with_prefix]
    places += [(f"mac.take.{path}", path) for path in mac.take]
    for key, path in places:
        if path not in known:
            yield key, f"the path {path!r}", "a path of the message spec"
    if mac.field not in known:
        return
    room, length = codec.width(mac.field), FORMS[mac.form].length
    if room and length > room:
        yield (
            "mac.form",
            f"{mac.form!r}, {length} long, for {mac.field}, which has {room}",
            "a form that fits",
        )
    if mac.form.startswith("raw") and not codec.binary(mac.field):
        yield "mac.form", repr(mac.form), f"a form in hex, since {mac.field} holds text"


def _exchange_findings(bank: BankTable, codec: Codec | None) -> Iterator[Finding]:
    """What does not fit together where keys are exchanged."""
    session, spec = bank.session, bank.delivery
    if spec.mac is not None:
        yield "delivery.mac", "a table", "nothing, since [mac] has it"
    if session.keys not in EXCHANGED:
        if spec != DeliverySpec():
            yield "delivery", "a table", f"nothing, since session.keys is {session.keys!r}"
        return
    made = session.key_bytes if session.keys == "ours" else 0
    if bank.mac is not None and made and made not in KEY_BYTES[bank.mac.algorithm]:
        yield "session.key_bytes", str(made), expected_key(bank.mac.algorithm)
    if spec.form == "cups" and bank.mac and codec and not codec.binary(bank.mac.field):
        yield "mac.field", repr(bank.mac.field), "eight bytes, as a key delivery's MAC and check value are"
    if spec.form == "cups" and session.delivery == "answer":
        yield "delivery.form", "'cups'", "'slots', since an answer tells keys in places of their own"
    if codec is not None:
        yield from _delivery_path_findings(spec, codec, made)


def _delivery_path_findings(spec: DeliverySpec, codec: Codec, made_bytes: int) -> Iterator[Finding]:
    """Paths that the spec does not have, or that are too narrow for what stands there."""
    known = codec.paths()
    if spec.form == "cups":
        for name in ("security", "single", "double"):
            path = getattr(spec, name)
            if path not in known:
                yield f"delivery.{name}", f"the path {path!r}", "a path of the message spec"
        return
    if bool(spec.pin_key) != bool(spec.pin_check):
        missing = "pin_check" if spec.pin_key else "pin_key"
        yield f"delivery.{missing}", "missing", "both or neither of pin_key and pin_check"
    if made_bytes > spec.slot_bytes:
        yield "delivery.slot_bytes", str(spec.slot_bytes), f"at least {made_bytes}, as session.key_bytes says"
    sizes = {"mac_key": spec.slot_bytes, "pin_key": spec.slot_bytes}
    for name in ("mac_key", "mac_check", "pin_key", "pin_check"):
        path, size = getattr(spec, name), sizes.get(name, CHECK_BYTES)
        if path and path not in known:
            yield f"delivery.{name}", f"the path {path!r}", "a path of the message spec"
        elif path:
            wanted = size if codec.binary(path) else 2 * size
            room = codec.width(path)
            if room and room < wanted:
                yield f"delivery.{name}", f"{path}, which has {room}", f"a place for {wanted}"
