"""XML messages against Python's own parser and codecs, and the documents that must not be let in."""

import tracemalloc
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.wire.codec import load_codec, put_path
from qianzhi.wire.errors import EncodeError, Reason, RemoteProtocolError

TEXT = "中国移动充值　张三 ABC xyz 0123 &<>\"'"
MESSAGE = {
    "Head": {"Version": "1.0", "TrxCode": "030012", "Type": "REQ", "Serial": "A0001", "TrxDate": "20261122"},
    "Body": {"Phone": "13800000000", "Amount": "50.00", "CardNo": "6225561620345170", "Name": "张三"},
    "Mac": "0123456789ABCDEF",
}


def leaf_values(row):
    if row["type"] == "n":
        return st.text("0123456789", min_size=1, max_size=row["length"])
    if row["type"] == "an":
        return st.text("ABCxyz0189", max_size=row["length"])
    if row["type"] == "dec":
        return st.builds("{}.{:02d}".format, st.integers(0, 9_999_999), st.integers(0, 99))
    return st.text(TEXT, max_size=row["length"])


@pytest.fixture(scope="session")
def documents(xml_tree):
    rows = {path: row for path, row in xml_tree["elements"].items() if "length" in row}
    bill = st.fixed_dictionaries(
        {},
        optional={path.split(".")[-1]: leaf_values(row) for path, row in rows.items() if ".Bills." in path},
    )
    body = {
        path.split(".")[1]: leaf_values(row)
        for path, row in rows.items()
        if path.count(".") == 1 and path[0] == "B"
    }
    head = {path.split(".")[1]: leaf_values(row) for path, row in rows.items() if path[0] == "H"}
    bills = st.one_of(st.just({}), st.fixed_dictionaries({"Bill": st.lists(bill, min_size=1, max_size=5)}))
    return st.fixed_dictionaries(
        {"Head": st.fixed_dictionaries({}, optional=head)},
        optional={
            "Body": st.fixed_dictionaries({}, optional={**body, "Bills": bills}),
            "Mac": leaf_values(rows["Mac"]),
            "charset": st.just("UTF-8"),
        },
    )


def as_etree(name, value):
    node = ET.Element(name)
    if isinstance(value, str):
        node.text = value
        return node
    for child, content in value.items():
        for one in content if isinstance(content, list) else [content]:
            node.append(as_etree(child, one))
    return node


@given(st.data())
def test_an_independent_parser_reads_what_we_write(xml, documents, data):
    message = data.draw(documents)
    body = xml.encode(message)
    charset = message.get("charset", "GBK")
    text = body.decode(charset)
    declaration, _, rest = text.partition("?>")
    assert declaration == f'<?xml version="1.0" encoding="{charset}"'
    content = {name: value for name, value in message.items() if name != "charset"}
    ours, theirs = ET.fromstring(rest), as_etree("Message", content)  # noqa: S314  our own writing
    assert flattened(ours) == flattened(theirs)


def flattened(node):
    return sorted((place, one.tag, one.text or "") for place, one in walked(node, ""))


def walked(node, place):
    yield place, node
    for child in node:
        yield from walked(child, f"{place}/{child.tag}")


@given(st.data())
def test_we_read_what_an_independent_writer_writes(xml, documents, data):
    message = data.draw(documents)
    charset = message.get("charset", "GBK")
    content = {name: value for name, value in message.items() if name != "charset"}
    text = ET.tostring(as_etree("Message", content), encoding="unicode")
    body = f'<?xml version="1.0" encoding="{charset}"?>\n{text}\n'.encode(charset)
    assert xml.decode(body) == message


@given(st.data())
def test_a_message_comes_back_and_masked_keeps_its_length(xml, documents, data):
    message = data.draw(documents)
    body = xml.encode(message)
    assert xml.decode(body) == message
    masked = xml.mask(body)
    assert len(masked) == len(body)
    assert xml.describe(masked) == xml.describe(body)
    assert all(view.tag != "!" for view in xml.describe(body))


def check_any(xml, body):
    try:
        message = xml.decode(body)
    except RemoteProtocolError as error:
        check_error(error, body)
    else:
        xml.encode(message)
    assert len(xml.mask(body)) == len(body)
    xml.describe(body)


def check_error(error, body):
    assert error.expected, error
    assert 0 <= error.offset <= len(body), error
    assert len(error.found) < 60, error


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_raise_the_declared_error(xml, body):
    check_any(xml, body)
    check_any(xml, b'<?xml version="1.0" encoding="GBK"?>' + body)
    check_any(xml, b"<Message><Head>" + body + b"</Head></Message>")


@given(st.data())
def test_damaged_documents_decode_or_raise_the_declared_error(xml, documents, data):
    body = bytearray(xml.encode(data.draw(documents)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        if data.draw(st.booleans()):
            body[at : at + 1] = data.draw(st.binary(max_size=3))
        else:
            body[at:at] = data.draw(
                st.sampled_from([b"<", b"&", b"</", b"]]>", b"<!--", b"&#0;", b"\xff", b"\0"])
            )
        if not body:
            break
    check_any(xml, bytes(body))


# -- what must not be let in --

BOMB = '<!DOCTYPE Message [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {name} "{("&" + before + ";") * 10}">'
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
NAMED = "<Message><Body><Name>&x;</Name></Body></Message>"


@pytest.mark.parametrize(
    "text",
    [
        BOMB + "]><Message><Head><Serial>&i;</Serial></Head></Message>",
        '<!DOCTYPE Message [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + NAMED,
        '<!DOCTYPE Message SYSTEM "http://127.0.0.1:1/x.dtd"><Message/>',
        "<!DOCTYPE Message><Message/>",
        NAMED,
        "<Message><Body><Name><![CDATA[x]]></Name></Body></Message>",
        "<Message><!-- x --><Head/></Message>",
        "<Message><?php x ?></Message>",
        '<Message xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="/etc/passwd"/></Message>',
        "<Message>&#0;</Message>",
        "<Message><Body><Name>&#xD800;</Name></Body></Message>",
        "<Message><Body><Name>&#8;</Name></Body></Message>",
        "<Message>\0</Message>",
        '<Message><Head a="1"/></Message>',
        "<Message><Head/><Head/></Message>",
        "<Message><Unknown/></Message>",
        "<Message>text<Head/></Message>",
        "<Message><Head/>text</Message>",
        "<Message><Head><Serial><b/></Serial></Head></Message>",
        "<Other/>",
        "<Message>" * 300 + "</Message>" * 300,
        "<Message>" + "<Head/>" * 5000 + "</Message>",
        "<Message/><Message/>",
        "<Message>",
        "",
        "6225561620345170",
    ],
)
@pytest.mark.parametrize("charset", ["GBK", "UTF-8"])
def test_documents_that_are_refused(xml, text, charset):
    body = f'<?xml version="1.0" encoding="{charset}"?>{text}'.encode(charset)
    with pytest.raises(RemoteProtocolError):
        xml.decode(body)
    check_any(xml, body)


def test_a_bomb_costs_no_memory(xml):
    body = (BOMB + "]><Message><Head><Serial>&i;</Serial></Head></Message>").encode()
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError):
            xml.decode(body)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("body", "field", "offset"),
    [
        (b'<?xml version="1.0" encoding="UTF-16"?><Message/>', "charset", 0),
        (b'<?xml version="1.0" encoding="big5"?><Message/>', "charset", 0),
        ("<Message/>".encode("utf-16"), "charset", 0),
        (b'<?xml version="1.0" encoding="UTF-8"?><Message>\xd5\xc5</Message>', "charset", 47),
        (b'<?xml version="1.0" encoding="GBK"?><Message>\xd5\xff</Message>', "charset", 45),
        (b'\xef\xbb\xbf<?xml version="1.0" encoding="GBK"?><Message/>', "charset", 3),
    ],
)
def test_a_wrong_charset_is_named_as_one(xml, body, field, offset):
    with pytest.raises(RemoteProtocolError) as caught:
        xml.decode(body)
    assert (caught.value.field, caught.value.offset) == (field, offset)


def test_charsets_by_their_usual_names(xml):
    for named, charset in [("gb2312", "gbk"), ("GBK", "gbk"), ("utf8", "utf-8"), ("UTF-8", "utf-8")]:
        body = f"<?xml version='1.0' encoding='{named}'?><Message><Body><Name>张三</Name></Body></Message>"
        assert xml.decode(body.encode(charset))["Body"]["Name"] == "张三"
    assert (
        xml.decode("<Message><Body><Name>张三</Name></Body></Message>".encode("gbk"))["Body"]["Name"]
        == "张三"
    )
    marked = b"\xef\xbb\xbf" + "<Message><Body><Name>张三</Name></Body></Message>".encode()
    assert xml.decode(marked)["charset"] == "UTF-8"


def test_an_answer_goes_back_in_the_charset_of_its_request(xml):
    read = xml.decode(xml.encode({**MESSAGE, "charset": "UTF-8"}))
    assert "张三".encode() in xml.encode(read)
    assert "charset" not in xml.decode(xml.encode(MESSAGE))


def test_an_error_names_the_element_and_keeps_what_came_before(xml):
    body = xml.encode(MESSAGE).replace(b"6225561620345170", b"62255616203451xx")
    with pytest.raises(RemoteProtocolError) as caught:
        xml.decode(body)
    error = caught.value
    assert (error.field, error.expected, error.reason) == ("Body.CardNo", "digits", Reason.VALUE)
    assert error.offset == body.index(b"<CardNo>")
    assert "6225" not in str(error)
    assert error.partial["Head"]["Serial"] == "A0001"
    long = xml.encode(MESSAGE).replace(b"A0001", b"A" * 21)
    with pytest.raises(
        RemoteProtocolError, match=r"Head\.Serial at .* expected at most 20 characters, found 21"
    ):
        xml.decode(long)


def test_oversized_documents_are_refused_unread(xml):
    with pytest.raises(RemoteProtocolError) as caught:
        xml.decode(b"<Message>" + b" " * 70_000 + b"</Message>")
    assert caught.value.reason is Reason.LENGTH_TOO_LARGE


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Body.Nonsense", "1"),
        ("Nonsense", {}),
        ("Head.Serial", 1),
        ("Head.Serial", "A" * 21),
        ("Head.TrxCode", "١٢٣"),
        ("Body.Name", "a\0b"),
        ("Body.Name", "\ud800"),
        ("Body.Name", "😀"),
        ("Body.Bills", {"Bill": {"No": "1"}}),
        ("Head", "x"),
        ("charset", "UTF-16"),
        ("charset", None),
    ],
)
def test_a_message_that_the_dialect_cannot_carry_is_refused(xml, path, value):
    message = {name: dict(part) if isinstance(part, dict) else part for name, part in MESSAGE.items()}
    put_path(message, path, value)
    with pytest.raises(EncodeError):
        xml.encode(message)


def test_sensitive_elements_are_starred(xml):
    body = xml.encode(MESSAGE)
    masked = xml.mask(body)
    assert b"<Phone>138****0000</Phone>" in masked
    assert b"<CardNo>622556******5170</CardNo>" in masked
    assert b"<Name>****</Name>" in masked
    assert b"<Amount>50.00</Amount>" in masked
    shown = {view.path: view for view in xml.describe(body)}
    assert shown["Body.CardNo"].value == "622556******5170"
    assert shown["Head.Serial"].offset == body.index(b"A0001")
    assert shown["Head.Serial"].length == 5


@pytest.mark.parametrize(
    "body",
    [
        b"<Message><Body><CardNo>6225561620345170</CardNo>",
        b"<Message><Body><Serial>6225561620345170</Body></Message>",
        b"<Message><Body><Card>6225561620345170</Card></Body></Message>",
        b"<Message><Body><CardNo a='6225561620345170'/></Body></Message>",
        b"6225561620345170",
        b"<Message><6225561620345170></Message>",
    ],
)
def test_broken_documents_show_no_card_number(xml, body):
    assert b"6225561620345170" not in xml.mask(body)
    assert "6225561620345170" not in repr(xml.describe(body))


def test_paths_widths_and_secrecy_are_known_by_path(xml):
    assert {"Head.TrxCode", "Body.Bills.Bill", "Body.Bills.Bill.No", "Mac"} <= xml.paths()
    assert (xml.sensitive("Body.CardNo"), xml.sensitive("Head.Serial")) == ("pan", None)
    assert (xml.width("Head.Serial"), xml.width("Head"), xml.width("Nonsense")) == (20, None, None)
    assert not xml.binary("Mac")


@pytest.mark.parametrize(
    "piece",
    [b"<Serial></Serial>", b"<Serial> </Serial>", b"<Serial>x</Serial>", b" ", b"<Head/>", b"<CardNo>1"],
)
def test_repetitive_bodies_are_masked_in_one_pass(xml, piece):
    """Patterns that can match one text in many ways would not come back from these."""
    for body in (piece * 3000 + b"<", b"<Message>" + piece * 3000):
        assert len(xml.mask(body)) == len(body)


@pytest.mark.parametrize("digits", ["²²", "１２", "١٢", " 12", "+12", "1_2"])
def test_what_int_would_read_is_no_digit_in_any_charset(xml, digits):
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?><Message><Head><TrxCode>{digits}</TrxCode></Head></Message>'
    )
    with pytest.raises(RemoteProtocolError) as caught:
        xml.decode(text.encode())
    assert caught.value.field == "Head.TrxCode"


def test_a_dialect_without_a_declaration(xml_tree):
    codec, problems = load_codec({**xml_tree, "declaration": False}, "spec.toml")
    assert problems == []
    message = {"Head": {"TrxCode": "010011"}, "Body": {"Name": "张三"}}
    body = codec.encode(message)
    assert body.startswith(b"<Message><Head>")
    assert body.decode("gbk").count("张三") == 1
    assert codec.decode(body) == message
    # a declaration is still read, and written where the charset is another
    assert codec.decode(b'<?xml version="1.0" encoding="GBK"?>' + body) == message
    other = codec.encode({**message, "charset": "UTF-8"})
    assert other.startswith(b'<?xml version="1.0" encoding="UTF-8"?>')
    assert codec.decode(other) == {**message, "charset": "UTF-8"}


@pytest.mark.parametrize(
    "declaration",
    [
        b'<?xml version="1.0" encoding="UTF- 8"?>',
        b'<?xml version="1.0" encoding="GBK" encoding="UTF-8"?>',
        b'<?xml version="1.0" phone="13800001234"?>',
        b'<?xml encoding="UTF-8" version="1.0"?>',
        b'<?xml version="1.0" encoding="UTF-8\'?>',
    ],
)
def test_what_only_looks_like_a_declaration_is_refused_and_not_shown(xml, declaration):
    body = declaration + b"<Message></Message>"
    with pytest.raises(RemoteProtocolError):
        xml.decode(body)
    assert b"13800001234" not in xml.mask(body)
