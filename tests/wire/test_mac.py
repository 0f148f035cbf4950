"""MACs against worked values, public vectors and psec; which fields they cover and in which form they
travel."""

import psec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianzhi.wire.algorithms import ALGORITHMS
from qianzhi.wire.des import DesKey, PycryptoCipher, load_libcrypto, make_cipher
from qianzhi.wire.errors import KeyCheckError, MacError
from qianzhi.wire.mac import MacSpec, compute_mac, mac_input, make_mac, verify_mac
from qianzhi.wire.mackey import MacKey
from qianzhi.wire.text import clip, select_cups

MAK1 = bytes.fromhex("0123456789ABCDEF")
MAK2 = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
MAK3 = bytes.fromhex("FEDCBA98765432100123456789ABCDEF")

TRANSACTION = [
    "mti",
    "pan",
    "processing_code",
    "amount",
    "transmission_time",
    "stan",
    "mcc",
    "condition",
    "fee",
]
TRANSACTION += ["acquirer", "forwarder", "authorization", "response_code", "terminal", "merchant", "original"]
MANAGEMENT = ["mti", "transmission_time", "stan", "response_code", "security", "network_code", "receiver"]
PREFIXED = ["pan", "acquirer", "forwarder", "receiver"]


def cups_spec(algorithm, **changes):
    rows = {"default": TRANSACTION, "0800": MANAGEMENT, "0810": MANAGEMENT, "0820": []}
    whole = {
        "algorithm": algorithm,
        "lists": rows,
        "with_prefix": PREFIXED,
        "take": {"original": 20},
        **changes,
    }
    return MacSpec(**whole)


PURCHASE_INPUT = (
    b"0200 166225561620345170 000000 000000001000 1121101530 000123 4814 00 0899992900 0899992900"
    b" 12345678 123456789012345"
)
REVERSAL_INPUT = (
    b"0420 166225561620345170 000000 000000001000 1121101600 000124 4814 00 0899992900 0899992900"
    b" 12345678 123456789012345 02000001231121101530"
)


@pytest.fixture
def reversal(purchase):
    original = {"mti": "0200", "stan": "000123", "transmission_time": "1121101530"}
    original |= {"acquirer": "00099992900", "forwarder": "00099992900"}
    changes = {"mti": "0420", "transmission_time": "1121101600", "stan": "000124", "original": original}
    return {**purchase, **changes}


def test_the_worked_purchase(cups, purchase):
    assert mac_input(cups_spec("x99"), purchase, cups) == PURCHASE_INPUT
    assert len(PURCHASE_INPUT) == 116
    single, double = cups_spec("x99", form="hex16"), cups_spec("x919", form="hex16")
    assert compute_mac(single, purchase, cups, MacKey(MAK1)) == b"5D8217E976CB3A73"
    assert compute_mac(double, purchase, cups, MacKey(MAK2)) == b"5ED587E18237734E"
    assert compute_mac(cups_spec("x99"), purchase, cups, MacKey(MAK1)) == b"5D8217E9"
    assert compute_mac(cups_spec("x919"), purchase, cups, MacKey(MAK2)) == b"5ED587E1"
    assert compute_mac(cups_spec("by_length"), purchase, cups, MacKey(MAK1)) == b"5D8217E9"
    assert compute_mac(cups_spec("by_length"), purchase, cups, MacKey(MAK2)) == b"5ED587E1"


def test_the_worked_reversal_takes_twenty_digits_of_the_original(cups, reversal):
    assert mac_input(cups_spec("x99"), reversal, cups) == REVERSAL_INPUT
    assert compute_mac(cups_spec("x99", form="hex16"), reversal, cups, MacKey(MAK1)) == b"257B81A1C5BB4B8D"
    assert compute_mac(cups_spec("x919", form="hex16"), reversal, cups, MacKey(MAK2)) == b"D53ED590ADA6EC12"


def test_a_printed_input_of_a_dialect_without_prefixes_or_separators(cups):
    fields = [
        "pan",
        "processing_code",
        "amount",
        "stan",
        "local_time",
        "local_date",
        "acquirer",
        "authorization",
    ]
    spec = MacSpec(
        algorithm="x99",
        lists={"default": [*fields, "response_code", "terminal", "currency"]},
        join="",
        form="hex16",
    )
    message = {
        "mti": "0210",
        "pan": "4563516991068012009",
        "processing_code": "200000",
        "amount": "000000030000",
    }
    message |= {"stan": "010001", "local_time": "090925", "local_date": "0523", "acquirer": "040000"}
    message |= {"authorization": "036048", "response_code": "00", "terminal": "12345678", "currency": "156"}
    assert len(mac_input(spec, message, cups)) == 78
    assert compute_mac(spec, message, cups, MacKey(MAK1)) == b"74AE4E1F411F9FA0"


def test_the_worked_bytes_that_are_no_text():
    data = bytes.fromhex("0102030405060708090A0B0C0D0E0F1011121314")
    assert ALGORITHMS["x99"].make(MacKey(MAK1), data).hex().upper() == "A36B313B45A3930C"
    assert ALGORITHMS["x919"].make(MacKey(MAK2), data).hex().upper() == "1E9B170408AF75B5"


@pytest.fixture(params=["libcrypto", "pycryptodome"])
def maker(request):
    if request.param == "pycryptodome":
        return PycryptoCipher
    if load_libcrypto() is None:
        pytest.skip("there is no libcrypto with DES on this machine")
    return make_cipher


@given(data=st.binary(max_size=300), key=st.binary(min_size=16, max_size=16))
def test_both_libraries_agree_with_psec(data, key):
    for make in (PycryptoCipher, make_cipher):
        double, single = DesKey(key, make), DesKey(key[:8], make)
        short = data + bytes(-len(data) % 8) if data else bytes(8)
        assert single.chain_single(data) == psec.mac.generate_cbc_mac(key[:8], short, 1)
        assert double.chain_triple(data) == psec.mac.generate_cbc_mac(key, short, 1)
        assert double.chain_retail(data) == psec.mac.generate_retail_mac(key[:8], key[8:], short, 1)
        assert double.encrypt(short) == psec.des.encrypt_tdes_ecb(key, short)
        assert double.decrypt(short) == psec.des.decrypt_tdes_ecb(key, short)
        assert double.encrypt(bytes(8))[:3] == psec.des.generate_kcv(key, 3)


def test_worked_values_under_each_library(maker):
    assert DesKey(MAK1, maker).chain_single(PURCHASE_INPUT).hex().upper() == "5D8217E976CB3A73"
    assert DesKey(MAK2, maker).chain_retail(PURCHASE_INPUT).hex().upper() == "5ED587E18237734E"
    assert DesKey(MAK3, maker).encrypt(bytes(8)).hex().upper() == "7B83586D405902B3"


def test_public_mac_vectors(vectors):
    """psec's own test of a CBC MAC with padding method 1; its key and text are those of that test."""
    rows = {row["test"]: row["rows"] for row in vectors("psec_mac_pin_cvv_tr31.json")["mac"]}
    padding, length, expected = rows["test_generate_cbc_mac"][0]
    assert (padding, length) == (1, 8)
    key = DesKey(bytes.fromhex("AAAAAAAAAAAAAAAABBBBBBBBBBBBBBBB"))
    assert key.chain_triple(b"hello world").hex().upper() == expected


def test_selection_of_text():
    assert select_cups(b"  ab-c*  12,3.  \xd6\xd0 x ") == b"ABC 12,3. X"
    assert select_cups(b"\0\t\n") == b""
    assert select_cups(b"terminal 1      ") == b"TERMINAL 1"


def test_padded_fields_and_lower_case_enter_as_the_selection_says(cups, purchase):
    purchase["terminal"] = "ab  c"
    assert b" 0899992900 AB C 123456789012345" in mac_input(cups_spec("x99"), purchase, cups)


def test_absent_fields_add_nothing_or_an_empty_text(cups):
    message = {"mti": "0200", "stan": "000123", "condition": "00"}
    fields = {"default": ["mti", "pan", "stan", "mcc", "condition"]}
    assert mac_input(MacSpec(algorithm="x99", lists=fields), message, cups) == b"0200 000123 00"
    empty = MacSpec(algorithm="x99", lists=fields, absent="empty")
    assert mac_input(empty, message, cups) == b"0200  000123  00"


def test_a_made_mac_verifies_after_the_wire_and_says_under_which_key(cups, purchase):
    spec = cups_spec("x919")
    old, new = MacKey(MAK2), MacKey(MAK3)
    make_mac(spec, purchase, cups, old)
    assert purchase["mac"] == b"5ED587E1"
    read = cups.decode(cups.encode(purchase))
    assert verify_mac(spec, read, cups, [new, old]) is old


@pytest.mark.parametrize("change", [{"amount": "000000001001"}, {"mac": b"5ED587E2"}, {"mac": b"5ed587e1"}])
def test_a_changed_message_or_mac_is_found(cups, purchase, change):
    spec = cups_spec("x919")
    make_mac(spec, purchase, cups, MacKey(MAK2))
    with pytest.raises(MacError):
        verify_mac(spec, {**purchase, **change}, cups, [MacKey(MAK2)])


def test_a_missing_mac_or_key_is_an_error(cups, purchase):
    spec = cups_spec("x919")
    with pytest.raises(MacError):
        verify_mac(spec, purchase, cups, [])
    del purchase["mac"]
    with pytest.raises(MacError):
        verify_mac(spec, purchase, cups, [MacKey(MAK2)])


def test_messages_with_an_empty_list_carry_no_mac(cups):
    spec, message = cups_spec("x919"), {"mti": "0820", "stan": "000001"}
    make_mac(spec, message, cups, MacKey(MAK2))
    assert "mac" not in message
    assert verify_mac(spec, message, cups, [MacKey(MAK2)]) is None


def test_a_key_of_the_wrong_length_is_refused(cups, purchase):
    with pytest.raises(KeyCheckError):
        compute_mac(cups_spec("x99"), purchase, cups, MacKey(MAK2))
    with pytest.raises(ValueError, match="8 or 16"):
        DesKey(bytes(7))


def test_an_xml_mac_covers_texts_in_their_charset(xml):
    spec = MacSpec(
        algorithm="x919",
        lists={"default": ["Head.TrxCode", "Head.Serial", "Body.Phone", "Body.Name", "Body.Bills"]},
        field="Mac",
        form="hex16",
        choose_by="Head.TrxCode",
        selection="none",
        absent="empty",
    )
    bills = {"Bill": [{"No": "B1", "Month": "202610"}, {"No": "B2"}]}
    message = {
        "Head": {"TrxCode": "010011"},
        "Body": {"Phone": "13800000000", "Name": "张三", "Bills": bills},
    }
    assert mac_input(spec, message, xml) == b"010011  13800000000 " + "张三".encode("gbk") + b" B1 202610 B2"
    make_mac(spec, message, xml, MacKey(MAK2))
    assert isinstance(message["Mac"], str)
    assert len(message["Mac"]) == 16
    read = xml.decode(xml.encode(message))
    assert verify_mac(spec, read, xml, [MacKey(MAK2)]) is not None
    utf8 = {**message, "charset": "UTF-8"}
    with pytest.raises(MacError):
        verify_mac(spec, utf8, xml, [MacKey(MAK2)])


@given(st.text("中国 aé", max_size=20), st.integers(0, 30))
def test_clipping_never_cuts_a_character(text, bytes_max):
    cut = clip(text, bytes_max, "gbk")
    assert len(cut.encode("gbk")) <= bytes_max
    assert text.encode("gbk", "replace").decode("gbk").startswith(cut)


def test_keys_do_not_show_themselves():
    assert "0123" not in repr(DesKey(MAK1))
    assert "0123" not in repr(MacKey(MAK1))
