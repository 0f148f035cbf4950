"""Samples of the messages about the line: sign-on, echo and the exchange of keys, as each dialect has
them.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from frontends.mapping import Sort
from qianzhi.cli.document.page import Both
from qianzhi.cli.document.testkeys import MATERIAL, mac_key_bytes
from qianzhi.cli.sample_requests import NOW, serial_of
from qianzhi.domain.results import Result
from qianzhi.wire.codec import Message
from qianzhi.wire.keys import (
    Delivered,
    DeliverySpec,
    build_delivery,
    read_deliveries,
    sign_answer,
    with_parity,
)

if TYPE_CHECKING:
    from frontends.profile import Profile
    from qianzhi.cli.document.samples import House

TITLES = {
    "sign_on": Both("Sign-on", "签到"),
    "sign_off": Both("Sign-off", "签退"),
    "echo": Both("Echo", "线路测试"),
    "key_request": Both("Request for a new key", "申请新密钥"),
    "key_delivery": Both("Key delivery", "下发密钥"),
    "cutover_begin": Both("Beginning of cutover", "日切开始通知"),
    "cutover": Both("Notice of cutover", "日切通知"),
}
FIRST_SERIAL = 901
OUR_ECHO = "our_echo"


def open_line(house: "House") -> None:
    """Sign on, exchange keys and test the line, as far as the profile has messages for it."""
    names, session = house.profile.table.management, house.profile.session
    if "sign_on" in names:
        _bank_asks(house, "sign_on", 0)
    if "key_delivery" in names and session.keys == "theirs":
        _bank_delivers(house)
    if "echo" in names:
        _bank_asks(house, "echo", 2)
    if "echo" in names and session.echo_seconds:
        _we_ask(house, "echo", OUR_ECHO, 3)
    for at, name in enumerate(("cutover_begin", "cutover"), 6):
        if name in names:
            _bank_asks(house, name, at)


def close_line(house: "House") -> None:
    """Ask for a new key and sign off; nothing comes after it."""
    names = house.profile.table.management
    for at, name in enumerate(("key_request", "sign_off"), 4):
        if name in names:
            _bank_asks(house, name, at)


def title_of(name: str) -> Both:
    """Return the title of a management message."""
    return TITLES.get(name, Both(name.replace("_", " "), name))


def delivery_spec(profile: "Profile") -> DeliverySpec:
    """Return where the parts of a delivered key stand, in the form that reads and writes them."""
    spec: DeliverySpec = replace(profile.table.delivery, mac=profile.mac)
    return spec


def _bank_asks(house: "House", name: str, at: int) -> None:
    profile = house.profile
    message = profile.mapping.management_message(name, _serial(house, at), NOW, ours=False)
    body = house.signed(message)
    house.note(name, "request", title_of(name), body, ours=False)
    for heard in house.ask(body):
        found = profile.codec.decode(heard)
        if profile.mapping.sort_of(found) is Sort.ANSWER:
            house.note(name, "answer", title_of(name), heard, ours=True)
            if name == "sign_on" and profile.session.keys == "ours" and profile.session.delivery == "answer":
                house.mac_key = _mac_key(house, found)
        elif name == "sign_on":
            _take_key(house, heard)


def _we_ask(house: "House", name: str, shown: str, at: int) -> None:
    mapping, codec = house.profile.mapping, house.profile.codec
    body = house.signed(mapping.management_message(name, _serial(house, at), NOW))
    house.note(shown, "request", title_of(name), body, ours=True)
    answer = house.signed(mapping.refusal_message(codec.decode(body), Result.APPROVED, NOW))
    house.note(shown, "answer", title_of(name), answer, ours=False)


def _mac_key(house: "House", message: Message) -> bytes:
    spec, codec = delivery_spec(house.profile), house.profile.codec
    delivered = read_deliveries(spec, message, codec, house.keys["master"])
    return next(one.key for one in delivered if one.purpose == "mac")


def _take_key(house: "House", body: bytes) -> None:
    """Answer a delivery of ours as the bank does: both codes made with the new key, which is in force
    from then.
    """
    profile = house.profile
    message = profile.codec.decode(body)
    house.mac_key = _mac_key(house, message)
    house.note("key_delivery", "request", title_of("key_delivery"), body, ours=True)
    answer = profile.mapping.refusal_message(message, Result.APPROVED, NOW)
    sign_answer(delivery_spec(profile), answer, profile.codec, house.mac_key)
    reply = profile.codec.encode(answer)
    house.note("key_delivery", "answer", title_of("key_delivery"), reply, ours=False)
    house.ask(reply)


def _bank_delivers(house: "House") -> None:
    """Deliver a key of the bank's making, which is in force once we have answered."""
    profile = house.profile
    spec, codec = delivery_spec(profile), profile.codec
    message = profile.mapping.management_message("key_delivery", _serial(house, 1), NOW, ours=False)
    size = mac_key_bytes(profile)
    keys = [Delivered(with_parity(MATERIAL[:size]), "mac")]
    if spec.pin_key:
        keys.append(Delivered(with_parity(MATERIAL[size : size + spec.slot_bytes]), "pin"))
    body = house.signed(build_delivery(spec, message, codec, house.keys["master"], *keys))
    house.note("key_delivery", "request", title_of("key_delivery"), body, ours=False)
    for heard in house.ask(body):
        house.note("key_delivery", "answer", title_of("key_delivery"), heard, ours=True)
    house.mac_key = keys[0].key


def _serial(house: "House", at: int) -> str:
    return serial_of(house.profile.table.request.serial, FIRST_SERIAL + at)
