"""The rehearsal of messages about the line: sign-on, echoes, keys, and their answers.  Pure."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from frontends.mapping import Sort
from frontends.rehearsal_stage import AS_IT_WENT, NOON, Finding, Stage
from qianzhi.domain.dates import business_date
from qianzhi.domain.results import Result
from qianzhi.wire.codec import Message
from qianzhi.wire.errors import KeyCheckError
from qianzhi.wire.keys import Delivered, DeliverySpec, build_delivery, read_deliveries

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

SERIAL = "000001"  # as our own messages have it
MASTER = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")  # nobody's: the rehearsal makes up its keys
MADE_UP = bytes.fromhex("133457799BBCDFF1A2B4C6D8EAFC0E1F")
RESULTS = (
    Result.APPROVED,
    Result.FORMAT,
    Result.BAD_MAC,
    Result.NOT_SIGNED_ON,
    Result.UNSUPPORTED,
    Result.BUSY,
)
CUTOVER_RESULTS = (*RESULTS, Result.BAD_DATE)


def rehearse_line(profile: "Profile", stage: Stage) -> Iterator[Finding]:
    """Yield what goes wrong with each management message, as those who begin it write it."""
    session = profile.session
    for name in profile.table.management:
        if name == "key_delivery":
            beginners = [session.keys == "ours"]
        elif name == "echo" and session.echo_seconds:
            beginners = [True, False]
        else:
            beginners = [False]
        for ours in beginners:
            yield from _rehearse_one(profile, stage, name, ours=ours)


def _rehearse_one(profile: "Profile", stage: Stage, name: str, *, ours: bool) -> Iterator[Finding]:
    mapping, key = profile.mapping, f"management.{name}"
    at = f"{key}.{'ours' if ours else 'theirs'}"

    def begun() -> Message:
        message = mapping.management_message(name, SERIAL, NOON, ours=ours)
        return _with_keys(profile, message) if name == "key_delivery" else message

    asked, finding = stage.carry(begun, at)
    if asked is None:
        yield finding
        return
    if mapping.sort_of(asked) is not Sort.MANAGEMENT or mapping.management_of(asked) != name:
        yield f"{key}.when", "a message that is read as another", AS_IT_WENT
        return
    if name == "key_delivery":
        yield from _keys_back(profile, asked, at)
    today = business_date(NOON.wall_us, mapping.zone)
    if profile.table.management[name].date and mapping.notice_date(name, asked, NOON) != today:
        yield f"{key}.date", "a date that does not come back as it went", AS_IT_WENT
    for result in CUTOVER_RESULTS if name == "cutover" else RESULTS:
        yield from _rehearse_answer(profile, stage, name, asked, result)


def _rehearse_answer(
    profile: "Profile", stage: Stage, name: str, asked: Message, result: Result
) -> Iterator[Finding]:
    session, key = profile.session, f"management.{name}.{result.name.lower()}"
    told = session.delivery == "answer" and name in ("sign_on", "key_request") and result is Result.APPROVED

    def answered() -> Message:
        answer = profile.mapping.refusal_message(asked, result, NOON)
        return _with_keys(profile, answer) if told else answer

    heard, finding = stage.carry(answered, key)
    if heard is None:
        yield finding
        return
    yield from stage.judge_answer(asked, heard, key)
    if told:
        yield from _keys_back(profile, heard, key)


def _keys_of(profile: "Profile") -> list[Delivered]:
    size = min(profile.session.key_bytes, _spec_of(profile).slot_bytes)
    keys = [Delivered(MADE_UP[:size], "mac")]
    if _spec_of(profile).form == "slots" and _spec_of(profile).pin_key:
        keys.append(Delivered(MADE_UP[::-1][:size], "pin"))
    return keys


def _spec_of(profile: "Profile") -> DeliverySpec:
    return replace(profile.table.delivery, mac=profile.mac)


def _with_keys(profile: "Profile", message: Message) -> Message:
    return build_delivery(_spec_of(profile), message, profile.codec, MASTER, *_keys_of(profile))


def _keys_back(profile: "Profile", heard: Message, key: str) -> Iterator[Finding]:
    try:
        found = read_deliveries(_spec_of(profile), heard, profile.codec, MASTER)
    except KeyCheckError as error:
        yield "delivery", f"{error} ({key})", "keys that come out as they went in"
        return
    if found != _keys_of(profile):
        yield "delivery", f"other keys ({key})", "keys that come out as they went in"
