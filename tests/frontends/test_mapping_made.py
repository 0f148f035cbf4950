"""The lines made from a profile's rows do what the rows do one by one: names, requests, faults, answers."""

import contextlib
import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontends.mapping import REPLY_NUMBERS, WITH_NUMBERS, _names, source_of
from frontends.mapping_made import make_constants, make_echo, make_finder, make_giver, make_taker, make_tester
from frontends.mapping_parts import Refusal, one_row
from frontends.mapping_rows import Chooser, copy_of, getter, putter, row_of, split_row
from frontends.transforms import FieldError, moment_of_second
from qianzhi.domain.requests import Bill, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now
from qianzhi.wire.codec import put_path
from tests.frontends.conftest import CONFIG, WALL_US, profile_of

BANKS = sorted(path.stem for path in (CONFIG / "banks").glob("*.toml"))
MOMENT = moment_of_second(WALL_US // 1_000_000, profile_of("hz_citic").mapping.zone)

TEXTS = """,0,000000,
0200,0420,1122,20261122,1122100000,000001,13800000000, 12 ,-5,0302,50.00,+3,１２,0000005000,
000000005000,99999999999999,1,00,28,AAAAAAAAAAAAAAAAAAAAAAAA, """.replace("\n", "").split(",")
AWKWARD = st.sampled_from(TEXTS) | st.sampled_from([None, 7, b"12", ["1"], {"x": "1"}, []])


def paths_of(tables):
    """Every path that the tables of a profile name."""
    found = [split_row(text)[0] for text in tables.match.keys]
    found += [*tables.match.answer, *tables.reply.echo, *tables.reply.copy, *tables.reply.set]
    found += [split_row(text)[0] for text in tables.reply.copy.values()]
    for rows in [*tables.transactions.values(), *tables.management.values()]:
        found += rows.when
    for rows in tables.transactions.values():
        texts = [tables.request.take, rows.take]
        for text in [text for take in texts for text in take.values()]:
            found += [split_row(one)[0] for one in ([text] if isinstance(text, str) else text)]
        found += rows.give
    return sorted(set(found))


def values_of(tables):
    """Every value that a `when` of the profile asks for, so that messages are something at all."""
    rows = [*tables.transactions.values(), *tables.management.values()]
    wanted = [value for row in rows for value in row.when.values()]
    return sorted({one for value in wanted for one in ([value] if isinstance(value, str) else value)})


def messages(data, tables):
    """A message with some of the paths that the profile knows, and with values of every kind there."""
    message = {}
    value = AWKWARD | st.sampled_from(values_of(tables) or [""])
    for path, one in data.draw(
        st.dictionaries(st.sampled_from(paths_of(tables)), value, max_size=14)
    ).items():
        try:
            put_path(message, path, copy.deepcopy(one))
        except TypeError:
            continue  # a value stands where this path needs a table
    return message


@pytest.mark.parametrize("bank", BANKS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_name_is_found_as_row_by_row(bank, data):
    tables = profile_of(bank).table
    chooser = Chooser(_names(tables))
    message = messages(data, tables)
    assert make_finder(chooser)(message) == chooser.find(message)


@pytest.mark.parametrize("bank", BANKS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_request_is_taken_as_row_by_row(bank, data):
    message = messages(data, profile_of(bank).table)
    for made in profile_of(bank).mapping._transactions:
        wanted, fault = {}, None
        for row in made._readers:
            try:
                value = row.read(message, MOMENT)
            except FieldError as error:
                fault = fault or (row.path, error.expected, error.result)
                continue
            if value is not None:
                wanted[row.field] = value
        found = {}
        unread = make_taker([one_row(row) for row in made._readers])(message, MOMENT, found)
        assert found == wanted
        assert {field: type(value) for field, value in found.items()} == {
            field: type(value) for field, value in wanted.items()
        }
        assert (unread and (unread[0], unread[1].expected, unread[1].result)) == fault


@pytest.mark.parametrize("bank", BANKS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_what_must_carry_a_mac_is_found_as_row_by_row(bank, data):
    profile = profile_of(bank)
    message = messages(data, profile.table)
    assert make_tester(profile.protected)(message) is profile.mac_required(message)


@pytest.mark.parametrize("bank", [bank for bank in BANKS if profile_of(bank).mapping._transactions])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_request_made_at_a_stroke_is_that_of_its_rows(bank, data):
    """What a bank says, with some of it spoilt: one way makes the other's request, or leaves it alone."""
    profile = profile_of(bank)
    mapping, now = profile.mapping, Now(1_000_000, WALL_US)
    transaction = data.draw(st.sampled_from(mapping._transactions))
    number = transaction.number or profile.numbers[0]
    request = Request(
        transaction.kind, profile.space, 20261122, "000017", bank, number, "13800000001", 5_000, "1",
        own_serial="000018",
    )  # fmt: skip
    plain = mapping.request_message(request, now, name=transaction.name)
    spoilt = copy.deepcopy(plain)
    for path, value in data.draw(
        st.dictionaries(st.sampled_from(paths_of(profile.table)), AWKWARD, max_size=2)
    ).items():
        with contextlib.suppress(TypeError):
            put_path(spoilt, path, copy.deepcopy(value))
    ask = mapping._ask[f"request:{transaction.name}"]
    for message in (plain, spoilt):
        for ours in (0, 20261121):
            slowly = mapping._asked_slowly(transaction, message, now, ours)
            found = ask(message, MOMENT, ours, now.wall_us)
            assert found is None or (found == slowly and repr(found) == repr(slowly))
            assert found is not None or message is spoilt or isinstance(slowly, Refusal)


@pytest.mark.parametrize("bank", BANKS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_an_echo_is_as_row_by_row_and_shares_nothing(bank, data):
    tables = profile_of(bank).table
    message = messages(data, tables)
    echoes = [path for path in tables.reply.echo if path not in tables.reply.copy]
    copies = [(row_of("", text), path) for path, text in tables.reply.copy.items()]
    wanted = {name: copy_of(message[name]) for name in echoes if "." not in name and name in message}
    for path in [path for path in echoes if "." in path]:
        value = getter(path)(message)
        if value is not None:
            putter(path)(wanted, copy_of(value))
    for row, path in copies:
        value = row.get(message)
        if value is not None:
            putter(path)(wanted, row.transform.write(value, MOMENT, None))
    found = {}
    flat, deep = [p for p in echoes if "." not in p], [p for p in echoes if "." in p]
    make_echo(flat, deep, copies)(message, found, MOMENT)
    assert found == wanted
    for name in flat:
        if isinstance(message.get(name), dict | list):
            assert found[name] is not message[name]


REPLIES = st.builds(
    Reply,
    st.sampled_from(list(Result)),
    order=st.sampled_from(["", "000000000017", "X"]),
    amount_fen=st.sampled_from([0, 5000, 12]),
    balance_fen=st.sampled_from([0, -30, 999]),
    bills=st.sampled_from([(), (Bill("B1", 202610, 100, 1),)]),
    name=st.sampled_from(["", "张三"]),
    settled_us=st.sampled_from([0, WALL_US]),
    count=st.sampled_from([0, 3]),
)


@pytest.mark.parametrize("bank", BANKS)
@given(data=st.data(), reply=REPLIES)
@settings(max_examples=40, deadline=None)
def test_an_answer_is_given_as_row_by_row(bank, data, reply):
    mapping, tables = profile_of(bank).mapping, profile_of(bank).table
    request = Request(
        Kind.RECHARGE, bank, 20261122, "000001", bank, "1", phone="13800000000", amount_fen=5000
    )
    sources = {"numbered": WITH_NUMBERS, "text_of": mapping.results.text_of, "listed": mapping._listed}
    for transaction in mapping._transactions:
        wanted, found = {}, {}
        for put, value in [(putter(path), value) for path, value in tables.reply.set.items()]:
            put(wanted, value)
        make_constants(list(tables.reply.set.items()))(found)
        for row in transaction.give:
            row.write(wanted, source(mapping, row.field, request, reply), MOMENT)
        make_giver(transaction.give, source_of, sources)(found, request, reply, MOMENT)
        assert found == wanted


def source(mapping, name, request, reply):
    """What a give row is to write, as the tables say it."""
    if name == "now":
        return name
    if name == "result_text":
        return mapping.results.text_of(reply.result)
    if name.startswith("request."):
        return getattr(request, name.partition(".")[2])
    if name in REPLY_NUMBERS and reply.result not in WITH_NUMBERS:
        return None
    return mapping._listed(reply) if name == "bills" else getattr(reply, name)


def test_only_the_name_of_a_field_becomes_part_of_a_line():
    with pytest.raises(ValueError, match="no field"):
        source_of("request.date or exit()")
