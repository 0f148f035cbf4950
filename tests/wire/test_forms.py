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
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianzhi.wire import iso_mask, iso_plan, kernel, mac_plan
from qianzhi.wire.codec import load_codec
from qianzhi.wire.errors import EncodeError, RemoteProtocolError
from qianzhi.wire.fields import make_simple
from qianzhi.wire.iso8583 import USES_MIN
from qianzhi.wire.iso_head import read_bitmaps
from qianzhi.wire.items import SENSITIVES, About, Quick, star_item, star_spans
from qianzhi.wire.mac_plan import Covered, Joining
from qianzhi.wire.rows import paddings_of
from qianzhi.wire.simple import Simple, prefix_of, problem_of

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


def load(bank):
    profile = tomllib.loads((ROOT / "config" / "banks" / f"{bank}.toml").read_text(encoding="utf-8"))
    file = ROOT / "config" / "specs" / f"{profile['message']['spec']}.toml"
    codec, problems = load_codec(tomllib.loads(file.read_text(encoding="utf-8")), file.name)
    assert problems == []
    return codec


@cache
def messages_of(bank):
    """For each of a bank's vectors the fields that it has, where they begin, and its bytes."""
    codec, found = load(bank), {}
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
    quick = Quick("letters", 0, 9_999, 4)
    field = Covered("long", lambda value: b"%04d" % len(value) + value.encode(), quick, 0)
    message = {"long": "aZ9" * 3_333}
    for _, _, make_gatherer, _ in FORMS.values():
        for joining in SELECTIONS:
            slow = mac_plan.make_gatherer([field._replace(quick=None)] * 3, joining)
            assert make_gatherer([field] * 3, joining)(message) == slow(message)


# Fields of every form that has a shortcut; no bank of ours has all of them.
TEXTS = st.text("09AZaz /:@[`{~\x7f\x1f\x00é中", max_size=14)
DIGITS = st.text("0123456789", max_size=12)
VALUES = st.one_of(DIGITS, TEXTS, st.binary(max_size=6), st.none())


@st.composite
def simple_fields(draw):
    kind = draw(st.sampled_from(["n", "an", "ans", "z", "b"]))
    family = {"n": ["ascii", "bcd", "bcd_left"], "b": ["raw", "hex"], "z": ["ascii", "bcd"]}
    encoding = draw(st.sampled_from(family.get(kind, ["ascii", "gbk"])))
    prefix = draw(st.sampled_from(["fixed", "L", "LL", "LLL", "LL_bcd", "LLL_bcd", "binary_1"]))
    padding = draw(st.sampled_from(paddings_of(kind, encoding)))
    row = Simple(kind, encoding, prefix, padding, 1, 1)
    if problem_of(row) is not None:
        return Simple("n", "bcd", "LL_bcd", "none", 9, 9)
    counting = prefix_of(row)
    length = draw(st.integers(1, min(9, counting.limit) if counting else 9))
    return replace(row, length=length, limit=length)


def items_of(rows, kinds=()):
    kinds = [*kinds, *[""] * len(rows)]
    return [make_simple(About(f"f{at}", "", "", at, kinds[at]), f"f{at}", row) for at, row in enumerate(rows)]


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=300, deadline=None)
@given(rows=st.lists(simple_fields(), min_size=1, max_size=6), data=st.data())
def test_fields_of_every_form_are_written_and_read_the_same(form, rows, data):
    items = items_of(rows)
    make_reader, make_writer, make_gatherer, make_masker = FORMS[form]
    fitting = {"n": DIGITS, "b": st.binary(max_size=9)}
    message = {
        item.name: data.draw(st.one_of(fitting.get(row.type, TEXTS), VALUES))
        for item, row in zip(items, rows, strict=True)
    }
    written = outcome(iso_plan.one_by_one(items), message)
    assert outcome(make_writer(items), message) == written
    covered = [Covered(item.name, item.encode, item.quick, 0) for item in items]
    slow = [field._replace(quick=None) for field in covered]
    for joining in SELECTIONS:
        assert outcome(make_gatherer(covered, joining), message) == outcome(
            mac_plan.make_gatherer(slow, joining), message
        )
    body = written[1] if written[0] == "done" else data.draw(st.binary(max_size=40))
    body = damaged(body, 0, data.draw(damages)) if body and data.draw(st.booleans()) else body
    read = reading(iso_plan.field_by_field(items), body, 0)
    assert reading(make_reader(items), body, 0) == read
    kinds = data.draw(st.lists(st.sampled_from(["", *SENSITIVES]), max_size=len(rows)))
    starred = []
    for masker in (iso_mask.make_masker, make_masker):
        masked = bytearray(body)
        starred.append((outcome(masker(items_of(rows, kinds)), body, 0, masked), masked))
    fits = [found == ("done", len(body)) for found, _ in starred]  # whoever masks looks at what is left over
    assert fits[0] == fits[1]
    assert not fits[0] or starred[0] == starred[1]
    if read[0][0] == "done":
        assert [found for found, _ in starred] == [("done", read[0][1])] * 2


def whole(codec, body):
    """What a codec makes of a body, and what it writes of that."""
    read = outcome(codec.decode, body)
    if read[0] != "done":
        return read
    return read, list(read[1]), outcome(codec.encode, read[1])


@pytest.mark.parametrize("bank", BANKS)
@settings(max_examples=250, deadline=None)
@given(
    which=st.integers(0, 10_000),
    how=damages,
    spoilt=st.dictionaries(st.integers(0, 30), values, max_size=2),
    head=st.dictionaries(st.integers(0, 9), st.one_of(values, st.sampled_from([True, 1, 1.0])), max_size=2),
)
def test_whole_messages_are_read_and_written_as_field_by_field(bank, which, how, spoilt, head):
    codec, slow = codecs_of(bank)
    messages = messages_of(bank)
    _, _, body = messages[which % len(messages)]
    codec.decode(body)  # what is next may have the header of this one, or nearly
    broken = damaged(body, 0, how)
    assert whole(codec, broken) == whole(slow, broken)
    assert codec.mask(broken) == slow.mask(broken)
    assert codec.mask(broken, decoded=True) == slow.mask(broken, decoded=True)
    message = codec.decode(body)
    assert codec.encode(message) == slow.encode(message)
    if isinstance(message.get("header"), dict):
        parts = list(message["header"])
        for number, value in head.items():
            message["header"][parts[number % len(parts)]] = value
    names = list(message)
    for number, value in spoilt.items():
        if value is None:
            message.pop(names[number % len(names)], None)
        else:
            message[names[number % len(names)]] = value
    assert outcome(codec.encode, message) == outcome(slow.encode, message)


@pytest.mark.parametrize("bank", BANKS)
def test_a_message_says_what_is_wrong_and_keeps_what_was_read(bank):
    codec, slow = codecs_of(bank)
    for _, _, body in messages_of(bank):
        partials = []
        for one in (codec, slow):
            with pytest.raises(RemoteProtocolError) as caught:
                one.decode(body[:-1])
            partials.append(caught.value.partial)
        assert partials[0] == partials[1]


@cache
def codecs_of(bank):
    """A codec that knows its shapes, and one that goes field by field for ever."""
    codec, slow = load(bank), load(bank)
    slow._worth = lambda shape: False
    slow._mask_whole = partial(masked_by_field, slow)
    for _ in range(USES_MIN):
        for _, _, body in messages_of(bank):
            codec.encode(codec.decode(body))
            codec.mask(body)
    return codec, slow


def masked_by_field(codec, body):
    """The body as a codec stars it whose plans are in pure Python."""
    after = codec._head.start(body) + codec._mti.size
    bitmap, at = read_bitmaps(codec._bitmap, codec._bitmaps_max, body, after)
    plan = iso_mask.make_masker(codec._items_of(bitmap, at))
    return iso_mask.mask_fields(plan, body, at, codec._head.items)


@pytest.mark.parametrize(("said", "form"), [("1", "pure"), ("0", kernel.FORM), ("", kernel.FORM)])
def test_the_environment_says_which_form_is_used(said, form):
    if os.environ.get(kernel.PURE, "") not in ("", "0"):
        form = "pure" if said == "1" else list(FORMS)[-1]
    words = [sys.executable, "-c", "from qianzhi.wire import kernel; print(kernel.FORM)"]
    environment = {**os.environ, kernel.PURE: said}
    done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == form
