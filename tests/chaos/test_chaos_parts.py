"""The parts of the chaos run that judge and choose: they must notice what they are there for."""

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from chaos_faults import seen_well
from chaos_layout import ADDRESSES, CONFIG, ports_of, programs_of, with_banks
from chaos_plan import each_once, endless, is_heavy
from chaos_proof import READ_BYTES, Canaries, Use, unbounded
from chaos_report import Done, Outcome, summary, table
from chaos_servers import KINDS
from chaos_watch import Span, Watch

from qianzhi.link.site import load_site
from simulators.customers import Purses
from simulators.scenario_file import load_scenario

ROOT = Path(__file__).parents[2]
HOOK = ROOT / "benchmarks" / "chaos_hook"


# -- the plan


def test_a_seed_is_a_plan_and_another_seed_another_one() -> None:
    first, again, other = (list(islice(endless(seed, list(KINDS)), 60)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_every_kind_comes_before_any_comes_twice_and_no_two_heavy_ones_together() -> None:
    for seed in range(20):
        rounds = list(islice(endless(seed, list(KINDS)), 200))
        kinds = [strike.kind for each in rounds for strike in each.strikes]
        assert set(kinds[: len(KINDS)]) == set(KINDS)
        for each in rounds:
            assert sum(is_heavy(strike.kind) for strike in each.strikes) <= 1
        assert any(len(each.strikes) > 1 for each in rounds)


def test_each_once_is_each_kind_and_nothing_else() -> None:
    kinds = [strike.kind for each in each_once(1, list(KINDS)) for strike in each.strikes]
    assert sorted(kinds) == sorted(KINDS)


def test_a_cut_has_healed_though_a_rolling_restart_beside_it_keeps_one_daemon_after_the_other_away() -> None:
    names = ("front-1", "front-2", "front-3")
    programs: Any = [SimpleNamespace(name=name) for name in names]
    ready = {name: name != "front-1" for name in names}
    states = {True: {"state": "running"}, False: {"state": "starting"}}
    site: Any = SimpleNamespace(status=lambda name: states[ready[name]])
    healed = seen_well(site, programs)
    assert not healed()
    ready.update({"front-1": True, "front-2": False})
    assert healed()

    ready["front-3"] = False
    other = seen_well(site, programs)
    for _ in range(3):
        assert not other(), "two were never well"


# -- the layout


def test_the_daemons_dial_each_other_and_the_servers_over_the_proxy() -> None:
    site, problems = load_site(CONFIG, "carrier")
    assert site is not None, problems
    ports = ports_of(site)
    assert ("core1", "10.77.4.1", 5672) in ports["mq1"], "a front and the broker"
    assert ("if2", "10.77.2.2", 17211) in ports["mq1"], "a front and a node"
    assert ("core2", "10.77.4.2", 17201) in ports["if3"], "a node and a bridge"
    assert ("core2", "10.77.4.2", 5432) in ports["core1"], "a bridge and the database"
    assert ("if4", "10.77.3.2", 17211) not in ports["if1"], "another group's node"
    assert not any(server == machine for machine, all_of in ports.items() for server, _, _ in all_of)
    assert set(ADDRESSES) >= set(ports)


def test_a_fault_of_a_node_touches_the_banks_of_its_group_alone() -> None:
    text = (CONFIG / "sites" / "carrier.toml").read_text(encoding="utf-8")
    assert "[banks.psbc]" not in with_banks(text, ["icbc"])
    assert with_banks(text, []) == text
    with pytest.raises(SystemExit, match="nobody"):
        with_banks(text, ["nobody"])
    site, _ = load_site(CONFIG, "carrier")
    assert site is not None
    programs = {program.name: program for program in programs_of(site)}
    assert "psbc" in programs["node3"].banks
    assert "icbc" not in programs["node3"].banks
    assert programs["front-psbc-2"].banks == ("psbc",)
    assert programs["bridge2"].banks == tuple(site.banks)


# -- what the banks saw


@pytest.fixture
def watch() -> Watch:
    """Two banks, a line each second: `one` has no approval between 2 and 5, `two` fails once at 4."""
    found = Watch()
    found.take(["one", "two"])
    for second in range(10):
        stalled = min(second, 2) if second < 5 else second - 2
        one = [second * 10, stalled * 10, stalled * 10, 0, 0]
        failed = int(second >= 4)
        found.take([float(second), [one, [second * 10, second * 10, second * 10, failed, 0]]])
    return found


def test_when_banks_are_served_again_and_the_longest_gap(watch: Watch) -> None:
    assert watch.served_again(2.0, ["one", "two"]) == 5.0
    assert watch.served_again(2.0, ["two"]) == 3.0
    assert watch.served_again(9.0, ["two"]) is None
    assert watch.longest_gap(1.0, 9.0, "one") == 3.0
    assert watch.longest_gap(1.0, 9.0, "two") == 1.0
    assert watch.longest_gap(2.0, 4.0, "one") == 2.0


def test_only_what_no_fault_touched_is_held_against_availability(watch: Watch) -> None:
    assert watch.untouched([Span(2.0, 6.0, ("one",))], 0.0, 9.0) == (40, 1)
    assert watch.untouched([Span(2.0, 6.0, ("one", "two"))], 0.0, 9.0) == (0, 0)
    assert watch.untouched([Span(2.0, 6.0, ("one",)), Span(3.0, 5.0, ("two",))], 0.0, 9.0) == (20, 0)


# -- the verdict


def proved(**given: Any) -> dict[str, Any]:
    """What the banks' process proves when all is well, but for what is given."""
    well = {"requests": 10, "lost": 0, "doubled": 0, "unanswered": 0, "open": 0, "paid_fen": 5, "held_fen": 5}
    return well | given


def outcome(**given: Any) -> Outcome:
    """A run with one fault."""
    done = Done("kill-node", "node1", ("one",), 1.0, 1.0, 1.5, 2.0, 3.0, 0.5)
    return Outcome(1, 300, [done], proved(**given))


def test_a_run_in_which_all_held_is_good() -> None:
    found = outcome()
    assert found.good, found.faults
    assert summary(found) == "chaos: 1 faults, 10 requests, 0 lost, 0 doubled, 0 unanswered after heal"
    assert "| kill-node | 1 | 0.5 | 0.5 | 1.0 | 0.5 |" in table(found)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"lost": 1}, "1 lost"),
        ({"doubled": 2}, "2 doubled"),
        ({"unanswered": 3}, "3 unanswered"),
        ({"open": 1}, "1 unanswered"),
        ({"held_fen": 6}, "0 lost"),
        ({"books": {"balance": 1}}, "0 lost"),
        ({"reports": [{"bank": "a", "surprises": {"approved became refused": 1}, "totals": {}}]}, "0 lost"),
        ({"reports": [{"bank": "a", "surprises": {}, "totals": {"20261122": "unequal"}}]}, "0 lost"),
    ],
)
def test_what_the_banks_find_wrong_is_a_failure(given: dict[str, Any], words: str) -> None:
    found = outcome(**given)
    assert not found.good
    assert words in summary(found)


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.database.update({"a key with two standing work orders": ["S/1/2"]}),
        lambda found: found.waiting.update(icbc=1),
        lambda found: found.leaks.append("a file: a card number"),
        lambda found: setattr(found, "chain", "broken"),
        lambda found: found.unbounded.append("node1: grew"),
        lambda found: found.banks.clear(),
        lambda found: setattr(found.done[0], "served", None),
        lambda found: setattr(found.done[0], "healed", None),
        lambda found: setattr(found.done[0], "trouble", "it could not be done"),
    ],
)
def test_what_anything_else_finds_wrong_is_a_failure(change: Any) -> None:
    found = outcome()
    change(found)
    assert not found.good


def test_a_work_order_that_stands_twice_is_doubled_and_one_that_is_missing_is_lost() -> None:
    found = outcome()
    found.database = {
        "a key with two standing work orders": ["S/1/2"],
        "an approved key without its work order": ["S/1/3"],
    }
    assert (found.doubled, found.lost) == (1, 1)


# -- canaries and bounds


@pytest.fixture(scope="module")
def canaries(tmp_path_factory: pytest.TempPathFactory) -> Canaries:
    folder = tmp_path_factory.mktemp("config")
    (folder / "banks").symlink_to(CONFIG / "banks")
    (folder / "site.toml").write_text(f'key = "test:{"5a" * 32}"\n', encoding="utf-8")
    return Canaries(folder, folder, ["icbc"])


CARD = Purses(load_scenario().customers).card(345)


@pytest.mark.parametrize(
    "secret",
    [
        CARD.encode(),
        bytes.fromhex(CARD + "f"),
        bytes.fromhex("0" + CARD),
        bytes.fromhex("5a" * 32),
        ("5a" * 32).encode(),
        ("5A" * 32).encode(),
    ],
)
def test_a_card_or_a_key_is_found_in_each_form_and_across_pieces(
    secret: bytes, canaries: Canaries, tmp_path: Path
) -> None:
    path = tmp_path / "some.log"
    path.write_bytes(b"x" * (READ_BYTES - 5) + secret + b"y" * 50)
    found = list(canaries.leaks([path]))
    assert len(found) == 1
    assert CARD not in found[0]
    assert "5a5a" not in found[0].lower()


def test_a_masked_card_and_another_number_are_no_leak(canaries: Canaries, tmp_path: Path) -> None:
    path = tmp_path / "some.log"
    masked = f"{CARD[:6]}*********{CARD[-4:]} {CARD[:-1]}{(int(CARD[-1]) + 1) % 10}"
    path.write_text(masked, encoding="utf-8")
    assert not list(canaries.leaks([path, tmp_path / "gone"]))


def test_the_end_of_a_masked_card_is_no_leak_though_it_begins_like_another(
    canaries: Canaries, tmp_path: Path
) -> None:
    other = Purses(load_scenario().customers).card(2)  # which the digits of a message of 20 yuan can spell
    path = tmp_path / "some.log"
    path.write_text(f"19622200*********1{other[:3]}{other[3:]}000002208", encoding="utf-8")
    assert not list(canaries.leaks([path]))
    path.write_text(f"19622200*********1622{other}000002208", encoding="utf-8")
    assert list(canaries.leaks([path]))


def test_what_grows_over_its_bound_is_named() -> None:
    first = {"node1": Use(50_000, 20, 3), "node2": Use(50_000, 20, 3), "node3": Use(50_000, 20, 3)}
    last = {"node1": Use(900_000, 20, 3), "node2": Use(60_000, 20, 30), "node3": Use(60_000, 20, 3)}
    highest = last | {"node3": Use(60_000, 5_000, 3)}
    assert [line.partition(":")[0] for line in unbounded(first, last, highest)] == ["node1", "node2", "node3"]
    assert not unbounded(first, first, first)


# -- what a daemon is given at its start


def test_an_environment_is_given_once_to_the_daemon_it_was_laid_out_for(tmp_path: Path) -> None:
    (tmp_path / "node1").write_text("QIANZHI_CRASH=front.after_send:3\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(HOOK), "QIANZHI_CHAOS": str(tmp_path)}

    def started(name: str) -> tuple[str, int]:
        said = "import os; print(os.environ.get('QIANZHI_CRASH'))"
        process = subprocess.Popen(
            [sys.executable, "-c", said],
            env={**environment, "SUPERVISOR_PROCESS_NAME": name},
            stdout=subprocess.PIPE,
            text=True,
        )
        return process.communicate()[0].strip(), process.pid

    assert started("node2")[0] == "None"
    given, pid = started("node1")
    assert given == "front.after_send:3"
    assert (tmp_path / f"node1.{pid}").exists()
    assert started("node1")[0] == "None"


def test_a_daemon_can_be_given_another_clock_while_its_monotonic_one_goes_on(tmp_path: Path) -> None:
    from simulators.servers.packages import faketime_library, require

    require("libfaketime")
    (tmp_path / "clock").write_text("+3600\n", encoding="ascii")
    given = [f"LD_PRELOAD={faketime_library()}", f"FAKETIME_TIMESTAMP_FILE={tmp_path / 'clock'}"]
    given += ["DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"]
    (tmp_path / "node1").write_text("\n".join(given) + "\n", encoding="utf-8")
    said = "import time; print(time.time(), time.monotonic())"
    names = {"PYTHONPATH": str(HOOK), "QIANZHI_CHAOS": str(tmp_path), "SUPERVISOR_PROCESS_NAME": "node1"}
    command = [sys.executable, "-c", said]
    faked, plain = (
        subprocess.run(command, env={**os.environ, **names}, capture_output=True, text=True).stdout.split()
        for _ in range(2)
    )
    assert 3500 < float(faked[0]) - float(plain[0]) < 3700
    assert abs(float(faked[1]) - float(plain[1])) < 60
