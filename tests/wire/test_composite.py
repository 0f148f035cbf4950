"""Fields with an inside: parts, repeats, tags and chip data; and what a dump shows of them."""

import pytest

from qianzhi.wire.codec import get_path, put_path
from qianzhi.wire.errors import RemoteProtocolError

# -- composites --


def test_the_phone_and_our_bill_travel_in_the_payment_item(cups, purchase):
    put_path(purchase, "private.PZ", {"number": "13800000000", "bill": "202610000001"})
    body = cups.encode(purchase)
    assert b"072PZ  13800000000" + b" " * 29 + b" " * 8 + b"202610000001        " in body
    read = cups.decode(body)
    assert get_path(read, "private.PZ.number") == "13800000000"
    assert get_path(read, "private.PZ.bill") == "202610000001"


def test_an_open_row_may_end_early_and_keeps_what_it_does_not_know(cups, purchase):
    put_path(purchase, "reserved", {"reason": "4354"})
    read = cups.decode(cups.encode(purchase))
    assert read["reserved"]["reason"] == "4354"
    assert b"01443540000000000" in cups.encode(read)  # at least 14 characters
    put_path(purchase, "private.PZ", {"number": "13800000000", "bill": "1", "rest": "more 更多"})
    assert cups.decode(cups.encode(purchase))["private"]["PZ"]["rest"] == "more 更多"


def test_short_reserved_fields_are_refused(cups, purchase, broken):
    put_path(purchase, "reserved", {"reason": "4354"})
    error, _ = broken(cups, purchase, b"01443540000000000", b"0104354000000")
    assert error.field == "reserved"


def test_bills_are_counted_for_us_and_checked_for_them(cups, purchase):
    bill = {
        "serial": "202610000001",
        "month": "202610",
        "principal": "000000005000",
        "late_fee": "000000000012",
    }
    put_path(purchase, "details", {"bills": [bill, bill]})
    read = cups.decode(cups.encode(purchase))
    assert read["details"] == {"count": "02", "bills": [bill, bill]}
    put_path(purchase, "details", {"bills": []})
    assert cups.decode(cups.encode(purchase))["details"] == {"count": "00", "bills": []}


@pytest.mark.parametrize("text", ["QD00120260101", "03" + "A" * 50, "没有欠费"])
def test_other_details_are_read_as_text(cups, purchase, text):
    purchase["details"] = {"text": text}
    assert cups.decode(cups.encode(purchase))["details"] == {"text": text}


def test_repeated_and_unknown_chip_tags_pass_untouched(cups, purchase):
    raw = (
        bytes.fromhex("7203AABBCC 720411223344 9F8101 0155 DF7F00".replace(" ", ""))
        + b"\x5f\x20\x81\x82"
        + b"n" * 130
    )
    body = cups.encode({**purchase, "chip": {"95": b"12345"}})
    whole = b"007\x95\x0512345"
    changed = body.replace(whole, b"%03d" % len(raw) + raw)
    changed = changed[:2] + b"%04d" % len(changed) + changed[6:]
    read = cups.decode(changed)
    assert read["chip"]["72"] == [bytes.fromhex("AABBCC"), bytes.fromhex("11223344")]
    assert read["chip"]["9F8101"] == b"\x55"
    assert cups.encode(read) == changed


# -- what a dialect can carry --


def test_paths_widths_and_secrecy_are_known_by_path(cups):
    paths = cups.paths()
    assert {"mti", "pan", "private.PZ.number", "private.NK.key", "original.stan", "header.source"} <= paths
    assert {"details.bills.serial", "reserved.reason", "chip.9F26", "balance.amount"} <= paths
    assert "private.PZ.nonsense" not in paths
    assert cups.sensitive("pan") == "pan"
    assert cups.sensitive("private.PZ.number") == "phone"
    assert cups.sensitive("private.NK.key") == "secret"
    assert cups.sensitive("amount") is None
    assert (cups.width("amount"), cups.width("private.PZ.number"), cups.width("mti")) == (12, 40, 4)


def test_a_dump_shows_every_field_with_its_place_and_no_secret(cups, purchase):
    purchase["pin"] = b"SECRETPB"
    purchase["track2"] = "6225561620345170=2912"
    body = cups.encode(purchase)
    views = {view.path: view for view in cups.describe(body)}
    assert views["pan"].value == "622556******5170"
    assert views["pan"].offset == body.index(b"6225561620345170")
    assert views["private.PZ.number"].value.rstrip() == "138****0000"
    assert views["merchant_name"].value.rstrip() == "中国银行北京分行"
    assert views["header.destination"].tag == "H4"
    everything = repr(list(views.values())).encode() + cups.mask(body)
    for secret in (b"6225561620345170", b"13800000000", b"SECRETPB"):
        assert secret not in everything


def test_what_cannot_be_read_is_hidden_from_the_break_on(cups, purchase):
    purchase["pin"] = b"SECRETPB"
    body = cups.encode(purchase).replace(b"0899992900", b"9999992900", 1)
    masked = cups.mask(body)
    assert b"SECRETPB" not in masked
    assert b"6225561620345170" not in masked
    assert masked.endswith(b"*" * 40)
    assert cups.describe(body)[-1].tag == "!"


def test_what_no_spec_describes_is_never_shown(cups, purchase):
    """Unlisted tags, leftovers and free texts may hold a card number."""
    pan = "6225561620345170"
    purchase["chip"] = {"9F6B": pan.encode(), "95": b"12345"}
    purchase["details"] = {"text": f"QD{pan}"}
    put_path(purchase, "private.PZ", {"number": "13800000000", "bill": "1", "rest": pan})
    one = cups.encode(purchase)
    purchase["private"] = {"AS": {"text": pan}}
    for body in (one, cups.encode(purchase)):
        assert pan.encode() not in cups.mask(body)
        assert pan not in repr(cups.describe(body))
        assert pan.encode().hex() not in repr(cups.describe(body))
        assert {view.path: view.value for view in cups.describe(body)}["chip.95"] == "3132333435"


def test_a_tag_that_comes_twice_is_kept_as_it_came(bare_cups):
    """Read as tags, one of the two would be lost."""
    raw = b"SM001aSM001b"
    body = bare_cups.encode({"mti": "0200", "network_data": {"bytes": raw}})
    read = bare_cups.decode(body)
    assert read["network_data"] == {"bytes": raw}
    assert bare_cups.encode(read) == body


@pytest.mark.parametrize("length", [b"\x05", b"\x81\x05", b"\x82\x00\x05"])
def test_chip_lengths_in_every_form(bare_cups, length):
    plain = bare_cups.encode({"mti": "0200", "chip": {"95": b"12345"}})
    raw = b"\x95" + length + b"12345"
    assert bare_cups.decode(plain.replace(b"007\x95\x0512345", b"%03d" % len(raw) + raw))["chip"] == {
        "95": b"12345"
    }


@pytest.mark.parametrize(
    "raw", ["95", "9505", "95051234", "9F", "9F81", "000100", "95800000", "9583000005", "FF0100"]
)
def test_chip_data_that_does_not_fit_is_refused(bare_cups, raw):
    plain = bare_cups.encode({"mti": "0200", "chip": {"95": b"12345"}})
    data = bytes.fromhex(raw)
    with pytest.raises(RemoteProtocolError) as caught:
        bare_cups.decode(plain.replace(b"007\x95\x0512345", b"%03d" % len(data) + data))
    assert caught.value.field == "chip"


def test_text_that_merely_has_the_length_of_a_list_is_hidden_whole(cups):
    text = "01" + "Card 6225561620345170 of Mr Zhang " + "x" * 16  # as long as one bill, and none
    body = cups.encode(
        {"mti": "0110", "header": {"destination": "1", "source": "2"}, "details": {"text": text}}
    )
    assert cups.decode(body)["details"] == {"text": text}
    assert b"6225" not in cups.mask(body)
    assert all("6225" not in view.value for view in cups.describe(body))
