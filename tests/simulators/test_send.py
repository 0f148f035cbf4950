"""Single requests and traffic over real sockets and queues, against a front-end of the platform's codecs."""

import json
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import zmq

from frontends.profile import Profile, load_profile, resolve_keys
from qianzhi.domain.requests import Key, Kind, Reply, Request
from qianzhi.domain.results import Result
from qianzhi.link.site import load_site
from qianzhi.link.tables import Site
from qianzhi.runtime import clock
from simulators.bank_line import kinds_of
from simulators.model_front import ModelFront
from simulators.model_server import serve_socket
from simulators.scenario_file import load_scenario
from simulators.send import Order, SendError, send
from simulators.state_file import StateFile
from simulators.tiny_core import TinyCore

CONFIG = Path(__file__).parents[2] / "config"
MASTER = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
KEY = bytes.fromhex("FEDCBA98765432100123456789ABCDEF")
PHONE = "13800000002"


def front_of(name: str) -> ModelFront:
    profile, problems = load_profile(CONFIG, name)
    assert profile is not None, problems
    people = load_scenario().customers
    phones = range(people.phone_first, people.phone_first + people.count)
    keys = resolve_keys(profile, CONFIG, production=False)
    key = keys.get("mac") or KEY[: profile.session.key_bytes]
    core = TinyCore(phones, frozenset(people.closed_phones))
    return ModelFront(profile, core, keys.get("master", b""), key)


@contextmanager
def serve_queue(front: ModelFront) -> Iterator[str]:
    """Answer a DEALER on a free port."""
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.setsockopt(zmq.LINGER, 0)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            if router.poll(20):
                identity, message_id, body = router.recv_multipart()
                for answer in front.answer(body, clock.now()):
                    router.send_multipart([identity, message_id, answer])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        ended.set()
        thread.join()
        router.close()
        context.term()


def site_at(data: Path, name: str, listen: str) -> Site:
    site, problems = load_site(CONFIG)
    assert site is not None, problems
    place = replace(site.banks[name], listen=listen, control="")
    return replace(site, data=str(data), banks={**site.banks, name: place})


@pytest.fixture
def socket_bank(tmp_path: Path) -> Iterator[tuple[ModelFront, Site]]:
    front = front_of("hz_citic")
    with serve_socket(front) as port:
        yield front, site_at(tmp_path, "hz_citic", f"127.0.0.1:{port}")


def test_every_action_on_a_socket(socket_bank: tuple[ModelFront, Site]) -> None:
    front, site = socket_bank
    profile = front.profile
    for action in ("sign-on", "echo", "key-exchange"):
        assert send(site, CONFIG, profile, Order(action)).code == "00"
    owed = send(site, CONFIG, profile, Order("owed", phone=PHONE))
    assert [bill.total_fen for bill in owed.bills] == [30_00]
    recharge = send(site, CONFIG, profile, Order("recharge", phone=PHONE, amount_fen=50_00))
    assert recharge.approved
    assert recharge.order
    serial = recharge.key.rpartition("/")[2]
    assert send(site, CONFIG, profile, Order("status", serial=serial)).approved
    again = Order("recharge", phone=PHONE, amount_fen=51_00, serial=serial)
    assert send(site, CONFIG, profile, again).result is Result.DUPLICATE_SERIAL
    assert send(site, CONFIG, profile, Order("reverse", serial=serial, amount_fen=50_00)).approved
    assert send(site, CONFIG, profile, Order("pay", phone=PHONE)).approved
    refused = send(site, CONFIG, profile, Order("recharge", phone="19900000000", amount_fen=1))
    assert (refused.code, refused.result, refused.meaning) == ("14", Result.NO_SUCH_PHONE, "no such phone")
    assert front.faults == []
    assert [request.kind for request in front.asked].count(Kind.OWED) == 2


def test_what_is_shown_of_a_request_is_masked(socket_bank: tuple[ModelFront, Site]) -> None:
    front, site = socket_bank
    result = send(site, CONFIG, front.profile, Order("recharge", phone=PHONE, amount_fen=50_00))
    shown = json.dumps(result.as_dict(), ensure_ascii=False)
    assert PHONE not in shown
    assert "6222000000000000018" not in shown
    assert "000000005000" in shown


def test_the_next_process_uses_the_key_of_this_one_and_serials_never_come_twice(
    socket_bank: tuple[ModelFront, Site],
) -> None:
    front, site = socket_bank
    order = Order("recharge", phone=PHONE, amount_fen=1_00)
    first = send(site, CONFIG, front.profile, order)
    front.next_key = MASTER  # what a second key exchange would bring
    second = send(site, CONFIG, front.profile, order)
    assert first.key != second.key
    assert front.key == KEY
    state = StateFile(Path(site.data), "hz_citic")
    assert state.path.stat().st_mode & 0o777 == 0o600
    assert state.load_key(MASTER) == KEY
    assert KEY.hex().upper() not in state.path.read_text()
    assert state.load_key(KEY) is None  # another master key opens nothing
    assert not set(state.lease(10)) & set(state.lease(10))


def test_a_key_that_the_front_end_has_forgotten_is_applied_for_anew(
    socket_bank: tuple[ModelFront, Site],
) -> None:
    front, site = socket_bank
    send(site, CONFIG, front.profile, Order("sign-on"))
    send(site, CONFIG, front.profile, Order("key-exchange"))
    front.key, front.next_key = MASTER, bytes.fromhex("1A2A3D4C5E6E708091A2B3C4D5E6F708")
    assert send(site, CONFIG, front.profile, Order("recharge", phone=PHONE, amount_fen=1_00)).approved


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        site = site_at(tmp_path, "hz_citic", f"127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(SendError, match=r"nobody listens on 127\.0\.0\.1:") as caught:
            send(site, CONFIG, front_of("hz_citic").profile, Order("owed", phone=PHONE))
    assert not caught.value.unknown


def test_no_answer_is_an_unknown_outcome_with_the_way_to_settle_it(tmp_path: Path) -> None:
    front, mute = front_of("hz_citic"), threading.Event()
    with serve_socket(front, mute) as port:
        site = site_at(tmp_path, "hz_citic", f"127.0.0.1:{port}")
        send(site, CONFIG, front.profile, Order("key-exchange"))

        class FallsSilent(TinyCore):
            def execute(self, request: Request) -> Reply:
                if request.kind is Kind.RECHARGE:
                    mute.set()
                return super().execute(request)

        front.core = FallsSilent(front.core.phones)
        with pytest.raises(
            SendError, match="unknown, ask with `qianzhi send hz_citic status --serial"
        ) as caught:
            send(
                site,
                CONFIG,
                front.profile,
                Order("recharge", phone=PHONE, amount_fen=1_00),
                timeout_seconds=0.3,
            )
        assert caught.value.unknown
        mute.clear()
        serial = caught.value.key.rpartition("/")[2]
        assert send(site, CONFIG, front.profile, Order("status", serial=serial)).approved


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (Order("status"), "needs --serial"),
        (Order("recharge", amount_fen=1), "needs --phone"),
        (Order("dance"), "unknown action dance: one of owed"),
    ],
)
def test_orders_that_cannot_be_sent_say_what_is_missing(
    socket_bank: tuple[ModelFront, Site], order: Order, text: str
) -> None:
    front, site = socket_bank
    with pytest.raises(SendError, match=text):
        send(site, CONFIG, front.profile, order)


def test_a_request_and_its_reversal_on_a_queue(tmp_path: Path) -> None:
    front = front_of("icbc")
    with serve_queue(front) as address:
        site = site_at(tmp_path, "icbc", address)
        recharge = send(site, CONFIG, front.profile, Order("recharge", phone=PHONE, amount_fen=50_00))
        assert recharge.approved
        serial = recharge.key.rpartition("/")[2]
        assert send(site, CONFIG, front.profile, Order("reverse", serial=serial, amount_fen=50_00)).approved
        assert front.core.standing_fen == 0
        with pytest.raises(SendError, match="icbc has no sign-on: its profile knows none"):
            send(site, CONFIG, front.profile, Order("sign-on"))


@pytest.fixture
def short_bank(tmp_path: Path) -> Iterator[tuple[ModelFront, Site]]:
    front = front_of("psbc")
    with serve_socket(front) as port:
        yield front, site_at(tmp_path, "psbc", f"127.0.0.1:{port}")


def test_every_action_on_short_connections_where_the_bank_makes_the_key(
    short_bank: tuple[ModelFront, Site],
) -> None:
    front, site = short_bank
    profile = front.profile
    for action in ("sign-on", "key-exchange"):
        assert send(site, CONFIG, profile, Order(action)).code == "00"
    key = front.key
    assert key is not None
    assert send(site, CONFIG, profile, Order("key-exchange")).approved
    assert front.key != key
    assert StateFile(Path(site.data), "psbc").load_key(front._master) == front.key
    assert send(site, CONFIG, profile, Order("recharge", phone=PHONE, amount_fen=50_00)).approved
    assert send(site, CONFIG, profile, Order("pay", phone=PHONE)).approved
    assert front.faults == []


def test_totals_are_equal_for_a_bank_that_knows_its_whole_day_and_unequal_for_one_that_does_not(
    short_bank: tuple[ModelFront, Site],
) -> None:
    front, site = short_bank
    profile, order = front.profile, Order("recharge", phone=PHONE, amount_fen=50_00)
    assert send(site, CONFIG, profile, Order("totals")).approved  # nothing yet, on both sides
    first, second = (send(site, CONFIG, profile, order) for _ in range(2))
    serial = first.key.rpartition("/")[2]
    for _ in range(2):  # a second reversal is answered as the first, and counts once
        assert send(site, CONFIG, profile, Order("reverse", serial=serial, amount_fen=50_00)).approved
    refused = send(site, CONFIG, profile, Order("recharge", phone="19900000000", amount_fen=1))
    assert not refused.approved
    totals = send(site, CONFIG, profile, Order("totals"))
    assert (totals.approved, totals.amount_fen, totals.code) == (True, 100_00, "00")
    front.core.rows.pop(Key.parse(second.key))  # now the platform has lost one
    totals = send(site, CONFIG, profile, Order("totals"))
    assert (totals.result, totals.code) == (Result.TOTALS_DIFFER, "95")
    StateFile(Path(site.data), "psbc").books.spoil(Key.parse(first.key).date)
    assert send(site, CONFIG, profile, Order("totals")).amount_fen == 0


def test_an_action_that_a_profile_does_not_have_is_refused_before_anything_is_sent(
    socket_bank: tuple[ModelFront, Site],
) -> None:
    front, site = socket_bank
    with pytest.raises(SendError, match="hz_citic has no totals: its profile knows none"):
        send(site, CONFIG, front.profile, Order("totals"))
    assert front.asked == []


RUN = """
import json, sys
from dataclasses import replace
from pathlib import Path
from frontends.profile import load_profile
from qianzhi.link.site import load_site
from simulators.scenario_file import load_scenario
from simulators.traffic import run_traffic

config, data, listens = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
site, _ = load_site(config)
banks = {name: replace(site.banks[name], listen=listen, control="") for name, listen in listens.items()}
site = replace(site, data=data, banks=banks)
profiles = [load_profile(config, name)[0] for name in listens]
looks = []
result = run_traffic(
    site, config, profiles, load_scenario(), rate=400, seconds=3, seed=5, on_look=looks.append
)
spent = {bank: sum(r.standing_fen for r in records) for bank, records in result.records.items()}
print(json.dumps({**result.as_dict(), "spent": spent, "looks": len(looks)}))
"""


def serve(front: ModelFront) -> AbstractContextManager[str]:
    """Serve a front-end on a queue or a socket, as its profile has it; the address is given."""
    return serve_queue(front) if front.profile.transport.kind == "queue" else serve_address(front)


@contextmanager
def serve_address(front: ModelFront) -> Iterator[str]:
    with serve_socket(front) as port:
        yield f"127.0.0.1:{port}"


def test_traffic_of_all_banks_in_one_process_settles_and_agrees_with_each_core(tmp_path: Path) -> None:
    names = sorted(tomllib.loads((CONFIG / "site.toml").read_text(encoding="utf-8"))["banks"])
    fronts = {name: front_of(name) for name in names}
    with ExitStack() as stack:
        listens = {name: stack.enter_context(serve(front)) for name, front in fronts.items()}
        command = [sys.executable, "-c", RUN, str(CONFIG), str(tmp_path), json.dumps(listens)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["settled"]
    assert result["looks"] >= 3
    assert [bank["bank"] for bank in result["banks"]] == names
    for bank in result["banks"]:
        front = fronts[bank["bank"]]
        assert bank["answered"] == bank["sent"] > 0
        assert bank["open"] == bank["line_losses"] == bank["bad"] == 0
        assert bank["surprises"] == {}
        assert result["spent"][bank["bank"]] == front.core.standing_fen > 0
        if Kind.TOTALS in kinds_of(front.profile):
            assert set(bank["totals"].values()) == {"equal"}
            assert len(bank["totals"]) == len(front.profile.numbers)
        else:
            assert bank["totals"] == {}


def test_a_profile_whose_dialect_the_simulators_do_not_speak_is_refused(tmp_path: Path) -> None:
    from simulators.lines import LineMaker, NoLineError

    profile: Profile = front_of("icbc").profile
    maker = LineMaker(
        replace(profile, keys=replace(profile.keys, mac="")),
        CONFIG,
        StateFile(tmp_path, "icbc"),
        production=False,
    )
    with pytest.raises(NoLineError, match="no line of icbc without its mac key"):
        maker.make(iter(range(9)).__next__)
