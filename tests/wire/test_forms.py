"""The three forms in which a card message's fields are read, written and gathered for a MAC: by the fields'
own closures, by code made for a bitmap, and by the compiled extension.  Whatever the bytes are, they agree,
in what they return and in every word of an error.
"""

import copy
import json
import os
import subprocess
import sys
import tomllib
from functools import cache, partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianzhi.wire import iso_mask, iso_plan, kernel, mac_plan
from qianzhi.wire.codec import load_codec
from qianzhi.wire.errors import EncodeError, RemoteProtocolError
from qianzhi.wire.items import Quick, star_item, star_spans
from qianzhi.wire.mac_plan import Covered, Joining

ROOT = Path(__file__).resolve().parents[2]
BANKS = ["boc", "hz_citic", "nb_ccb", "psbc", "unionpay_web", "zongheng"]
SELECTIONS = [Joining("cups", b" ", False), Joining("cups", b"", True), Joining("none", b"|", False)]


def _forms():
    """Every form that is here: what makes readers, writers, gatherers and maskers, by name."""
    pure = (iso_plan.make_reader, iso_plan.make_writer, mac_plan.make_gatherer, iso_mask.make_masker)
    forms = {"pure": pure}
    try:
        from qianzhi.wire import _kernel
    except ImportError:
        return forms
    classes = (_kernel.Reader, _kernel.Writer, _kernel.Gatherer, _kernel.Masker)
    return {**forms, "compiled": tuple(partial(made, star_item=star_item) for made in classes)}


FORMS = _forms()


@cache
def messages_of(bank):
    """For each of a bank's vectors the fields that it has, where they begin, and its bytes."""
    profile = tomllib.loads((ROOT / "config" / "banks" / f"{bank}.toml").read_text(encoding="utf-8"))
    file = ROOT / "config" / "specs" / f"{profile['message']['spec']}.toml"
    codec, problems = load_codec(tomllib.loads(file.read_text(encoding="utf-8")), file.name)
    assert problems == []
    found = {}
    for path in sorted((ROOT / "tests" / "vectors" / bank).glob("*.json")):
        for row in json.loads(path.read_text(encoding="utf-8")):
            if "error" not in row:
                body = bytes.fromhex(row["frame"])
                items, _, at = codec._read_announced(body, codec._head.start(body))
                found[body] = (items, at)
    return [(items, at, body) for body, (items, at) in found.items()]


def outcome(work, *given):
    """What a call comes to: its result, or every word of its error."""
    try:
        return "done", work(*given)
    except RemoteProtocolError as error:
        return "refused", error.field, error.offset, error.expected, error.found, error.reason, error.number
    except EncodeError as error:
        return "unwritable", error.path, error.expected, error.found


def reading(read, body, at):
    message = {}
    found = outcome(read, body, at, len(body), message)
    return found, list(message.items())


damages = st.lists(
    st.tuples(
        st.sampled_from(["turn", "cut", "put", "digit", "blank"]),
        st.integers(0, 400),
        st.integers(0, 255),
    ),
    max_size=4,
)


def damaged(body, at, how):
    """The body with some bytes behind `at` changed, cut off or put in."""
    data = bytearray(body)
    for what, place, value in how:
        where = at + place % max(1, len(data) - at)
        if what == "turn":
            data[where : where + 1] = bytes([value])
        elif what == "cut":
            del data[where : where + 1 + value % 8]
        elif what == "put":
            data[where:where] = bytes([value]) * (1 + value % 4)
        elif what == "digit":
            data[where : where + 1] = b"0123456789"[value % 10 : value % 10 + 1]
        else:
            data[where : where + 3] = b"   "[: len(data[where : where + 3])]
    return bytes(data)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bank", BANKS)
@settings(max_examples=150)
@given(which=st.integers(0, 10_000), how=damages)
def test_all_forms_read_the_same_and_say_the_same_of_what_is_wrong(bank, form, which, how):
    messages = messages_of(bank)
    items, at, body = messages[which % len(messages)]
    body = damaged(body, at, how)
    by_closures = reading(iso_plan.field_by_field(items), body, at)
    assert reading(FORMS[form][0](items), body, at) == by_closures


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bank", BANKS)
@settings(max_examples=150, deadline=None)
@given(which=st.integers(0, 10_000), how=damages)
def test_all_forms_star_the_same(bank, form, which, how):
    messages = messages_of(bank)
    items, at, body = messages[which % len(messages)]
    body = damaged(body, at, how)
    expected, found = bytearray(body), bytearray(body)
    stop, refused = at, False
    for item in items:
        if item.secret:
            walked = outcome(star_item, item, body, stop, len(body), expected)
        else:
            walked = outcome(lambda item=item, at=stop: item.bounds(body, at, len(body))[1])
        refused = walked[0] == "refused"
        if refused:
            break
        stop = walked[1]
    masked = outcome(FORMS[form][3](items), body, at, found)
    if refused:  # whoever masks looks at what is left over, too
        assert masked[0] == "refused" or masked[1] != len(body)
    else:
        assert (masked, found) == (("done", stop), expected)


@pytest.mark.parametrize("bank", BANKS)
@settings(max_examples=150, deadline=None)
@given(which=st.integers(0, 10_000), how=damages)
def test_what_is_starred_at_a_stroke_is_what_the_spans_show(bank, which, how):
    messages = messages_of(bank)
    items, at, body = messages[which % len(messages)]
    body = damaged(body, at, how)
    for item in items:
        spans, by_spans, at_a_stroke = [], bytearray(body), bytearray(body)
        walked = outcome(item.walk, body, at, len(body), spans)
        assert outcome(star_item, item, body, at, len(body), at_a_stroke) == walked
        if walked[0] == "refused":
            return  # and whoever masks hides the whole body
        star_spans(spans, body, by_spans)
        assert at_a_stroke == by_spans
        at = walked[1]


values = st.one_of(
    st.none(),
    st.integers(-5, 10**13),
    st.text("0123456789", max_size=45),
    st.text("09AZaz .,-=\x00中²é", max_size=45),
    st.binary(max_size=20),
)


def spoil_inside(value, rows):
    """Change, put in or take away what stands inside a composite's value, at any depth."""
    for which, deeper, new in rows:
        inside = value
        for step in deeper:
            children = list(inside.values() if isinstance(inside, dict) else inside)
            children = [child for child in children if isinstance(child, dict | list) and child]
            if not children:
                break
            inside = children[step % len(children)]
        names = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
        at = names[which % len(names)] if names else None
        if isinstance(inside, list):
            inside.append(copy.deepcopy(inside[at]) if names and which % 2 else new)
        elif new is ... and names:
            del inside[at]
        else:
            inside["rest" if which % 7 == 0 else "nothing" if which % 11 == 0 else at] = new


inner = st.lists(
    st.tuples(st.integers(0, 40), st.lists(st.integers(0, 5), max_size=3), st.one_of(values, st.just(...))),
    max_size=3,
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bank", BANKS)
@settings(max_examples=150)
@given(
    which=st.integers(0, 10_000),
    spoilt=st.dictionaries(st.integers(0, 30), values, max_size=3),
    inner=inner,
)
def test_all_forms_write_and_gather_the_same(bank, form, which, spoilt, inner):
    messages = messages_of(bank)
    items, at, body = messages[which % len(messages)]
    message = {}
    iso_plan.field_by_field(items)(body, at, len(body), message)
    for number, value in spoilt.items():
        message[items[number % len(items)].name] = value
    for value in list(message.values()):
        if isinstance(value, dict | list):
            spoil_inside(value, inner)
    _, make_writer, make_gatherer, _ = FORMS[form]
    assert outcome(make_writer(items), message) == outcome(iso_plan.one_by_one(items), message)
    whole = which % 2 == 0
    flat = []
    for item in items:
        quick = item.quick if whole or item.quick is None or not item.quick.prefix else None
        write = item.encode if whole else item.bare
        flat.append(Covered(item.name, write, quick, which % 9, item.nest, whole))
    slow = [field._replace(quick=None, nest=None) for field in flat]
    for joining in SELECTIONS:
        expected = outcome(mac_plan.make_gatherer(slow, joining), message)
        assert outcome(make_gatherer(flat, joining), message) == expected


def test_a_long_field_is_written_and_gathered_whole():
    """More than what a compiled form keeps at hand without asking for memory."""
    quick = Quick(0, 4, 9_999, False, False, "", "", False)
    field = Covered("long", lambda value: b"%04d" % len(value) + value.encode(), quick, 0)
    message = {"long": "aZ9" * 3_333}
    for _, _, make_gatherer, _ in FORMS.values():
        for joining in SELECTIONS:
            slow = mac_plan.make_gatherer([field._replace(quick=None)] * 3, joining)
            assert make_gatherer([field] * 3, joining)(message) == slow(message)


@pytest.mark.parametrize(("said", "form"), [("1", "pure"), ("0", kernel.FORM), ("", kernel.FORM)])
def test_the_environment_says_which_form_is_used(said, form):
    if os.environ.get(kernel.PURE, "") not in ("", "0"):
        form = "pure" if said == "1" else list(FORMS)[-1]
    words = [sys.executable, "-c", "from qianzhi.wire import kernel; print(kernel.FORM)"]
    environment = {**os.environ, kernel.PURE: said}
    done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == form
