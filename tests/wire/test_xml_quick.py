"""XML of the commonest shape is read, written and gathered at a stroke: as the whole parser and the
elements one by one do it, down to every word of an error.
"""

import copy
import json
import tomllib
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qianzhi.wire.codec import load_codec
from qianzhi.wire.errors import EncodeError, RemoteProtocolError
from qianzhi.wire.mac import MacSpec, mac_input
from qianzhi.wire.xml import XmlCodec

CONFIG = Path(__file__).resolve().parents[2] / "config"
VECTORS = Path(__file__).resolve().parents[1] / "vectors"


@cache
def codecs_of(bank):
    """A bank's codec, and one that leaves every document to the parser."""
    profile = tomllib.loads((CONFIG / "banks" / f"{bank}.toml").read_text(encoding="utf-8"))
    file = CONFIG / "specs" / f"{profile['message']['spec']}.toml"
    pair = [load_codec(tomllib.loads(file.read_text(encoding="utf-8")), file.name)[0] for _ in range(2)]
    if isinstance(pair[1], XmlCodec):
        pair[1]._quick.read = lambda text: None
        pair[1]._write = lambda value, pieces: False
    return pair


BANKS = sorted(path.stem for path in VECTORS.iterdir() if path.is_dir())
BANKS = [bank for bank in BANKS if (CONFIG / "banks" / f"{bank}.toml").exists()]
BANKS = [bank for bank in BANKS if isinstance(codecs_of(bank)[0], XmlCodec)]


@cache
def bodies_of(bank):
    rows = [row for path in sorted((VECTORS / bank).glob("*.json")) for row in json.loads(path.read_bytes())]
    return [bytes.fromhex(row["frame"]) for row in rows if "error" not in row]


def outcome(work, *given):
    try:
        return "done", work(*given)
    except RemoteProtocolError as error:
        partial = getattr(error, "partial", None)
        return "refused", error.field, error.offset, error.expected, error.found, error.reason, partial
    except EncodeError as error:
        return "unwritable", error.path, error.expected, error.found


SPOILS = [
    "",
    " ",
    "\n",
    "<A/>",
    "<!-- -->",
    "&amp;",
    "&lt;",
    "]]>",
    "\x01",
    "é",
    "中",
    "<",
    ">",
    "</Head>",
    "<Head>",
]
SPOILS += [
    "<Mac></Mac>",
    " a='1'",
    "<?x?>",
    "<![CDATA[1]]>",
    "12345678901234567890" * 4,
    "\u3000",
    "\r",
    "\ufffe",
]


def test_there_are_banks_to_look_at():
    assert len(BANKS) > 2


@pytest.mark.parametrize("bank", BANKS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_document_is_read_as_the_parser_reads_it(bank, data):
    codec, slow = codecs_of(bank)
    body = data.draw(st.sampled_from(bodies_of(bank)))
    assert outcome(codec.decode, body) == outcome(slow.decode, body)
    for _ in range(data.draw(st.integers(1, 2))):
        at, cut = data.draw(st.integers(0, len(body))), data.draw(st.sampled_from([0, 0, 1, 7]))
        put = data.draw(st.sampled_from(SPOILS)).encode(codec._charset, "replace")
        body = body[:at] + put + body[at + cut :]
    found, wanted = outcome(codec.decode, body), outcome(slow.decode, body)
    assert found == wanted
    assert str(found) == str(wanted)  # the order of what was read, too


@pytest.mark.parametrize("bank", BANKS)
def test_the_vectors_are_read_at_a_stroke(bank):
    """Or what is measured would not be what a bank sends."""
    codec, _ = codecs_of(bank)
    texts = [codec._text_of(body) for body in bodies_of(bank)]
    assert any(codec._quick.read(text) is not None for _, _, text in texts)


VALUES = st.sampled_from(
    ["", "1", "<&>", "é", "中", "12345678901234567890" * 4, 7, None, [], ["1"], {}, {"X": "1"}]
)


@pytest.mark.parametrize("bank", BANKS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_document_is_written_and_gathered_element_by_element(bank, data):
    codec, slow = codecs_of(bank)
    message = copy.deepcopy(data.draw(st.sampled_from([codec.decode(body) for body in bodies_of(bank)])))
    leaves = [path for path, element in codec._by_path.items() if not element.children]
    paths = data.draw(st.lists(st.sampled_from(leaves), min_size=1, max_size=6, unique=True))
    spec = {"lists": {"default": paths}, "selection": "none", "join": data.draw(st.sampled_from(["", "|"]))}
    spec["absent"] = data.draw(st.sampled_from(["skip", "empty"]))
    for _ in range(data.draw(st.integers(0, 2))):
        inside, value = message, copy.deepcopy(data.draw(VALUES))
        *tables, name = data.draw(st.sampled_from([*leaves, "Unknown", "Head", "charset"])).split(".")
        for table in tables:
            inside = inside.get(table)
            if not isinstance(inside, dict):
                break
        else:
            inside[name] = value
    assert outcome(codec.encode, message) == outcome(slow.encode, message)
    made = MacSpec(algorithm="x919", **spec)
    one_by_one = MacSpec(algorithm="x919", take={"nothing": 1}, **spec)
    assert outcome(mac_input, made, message, codec) == outcome(mac_input, one_by_one, message, slow)
