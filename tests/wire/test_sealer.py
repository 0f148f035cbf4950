"""What is decided once for a spec and a codec seals and proves as what is decided for each message."""

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from qianzhi.wire.errors import EncodeError, KeyCheckError, MacError
from qianzhi.wire.mac import MacSpec, Sealer, make_mac, verify_mac
from qianzhi.wire.mackey import MacKey

KEYS = [MacKey(bytes(range(size))) for size in (16, 8, 16)] + [MacKey(bytes(16))]
LISTS = {"default": ["mti", "pan", "amount", "stan"], "0800": ["mti", "stan"], "0820": [], "0810": ["amount"]}
MESSAGES = st.fixed_dictionaries(
    {"mti": st.sampled_from(["0200", "0800", "0810", "0820", "", None, 5, "02000"])},
    optional={
        "pan": st.sampled_from(["6225561620345170", "622", "", "x", None]),
        "amount": st.sampled_from(["000000001000", "1", "-", 7]),
        "stan": st.sampled_from(["000123", "1234567", ""]),
        "mac": st.sampled_from([b"", "5ED587E1", "5é", 7, b"\xff", None]),
        "response_code": st.just("00"),
    },
)
SPECS = st.builds(
    dict,
    algorithm=st.sampled_from(["x919", "by_length", "x99", "hmac_sha256", "md5"]),
    form=st.sampled_from(["hex8", "hex16", "hex8_zeros16", "raw8", "raw4_kcv4", "ascii8"]),
    case=st.sampled_from(["upper", "upper", "lower"]),
    covers=st.sampled_from(["fields", "fields", "fields", "around"]),
    absent=st.sampled_from(["skip", "empty"]),
    field=st.sampled_from(["mac", "mac", "mac", "private.mac", "response_code"]),
    choose_by=st.sampled_from(["mti", "mti", "private.PZ.number"]),
    lists=st.sampled_from([LISTS, {"0200": LISTS["default"]}, {"default": ["original.mti", "stan"]}]),
)


def outcome(work, *given):
    try:
        return "done", work(*given)
    except (EncodeError, KeyCheckError, MacError, TypeError, UnicodeDecodeError) as error:
        return type(error), str(error)


@settings(max_examples=400, deadline=None)
@given(told=SPECS, message=MESSAGES, first=st.integers(0, 3), keys=st.integers(0, 2), spoil=st.booleans())
def test_what_is_decided_once_does_what_is_decided_each_time(cups, told, message, first, keys, spoil):
    spec, key = MacSpec(**told), KEYS[first]
    sealer = Sealer(spec, cups)
    made, expected = copy.deepcopy(message), copy.deepcopy(message)
    assert outcome(sealer.make, made, key) == outcome(make_mac, spec, expected, cups, key)
    assert made == expected
    if spoil:
        made["stan"] = "000124"
    among = KEYS[first : first + keys]
    for one in (made, message):
        found = outcome(sealer.verify, copy.deepcopy(one), among, b"")
        assert found == outcome(verify_mac, spec, copy.deepcopy(one), cups, among, b"")
        assert found[0] != "done" or found[1] in (None, *among) or told["algorithm"] == "md5"
