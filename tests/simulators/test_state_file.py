"""What the processes of one simulated bank share: serials that never come twice, and the working key."""

import subprocess
import sys
from pathlib import Path

import pytest

from simulators.serials import Serials, SerialsSpentError
from simulators.state_file import StateFile

MASTER = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
KEY = bytes.fromhex("FEDCBA98765432100123456789ABCDEF")


def test_leases_of_several_processes_never_overlap(tmp_path: Path) -> None:
    code = "import sys, pathlib; from simulators.state_file import StateFile\n"
    code += "s = StateFile(pathlib.Path(sys.argv[1]), 'b')\nfor _ in range(50): print(*s.lease(3))"
    command = [sys.executable, "-c", code, str(tmp_path)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    numbers = [int(word) for run in runs for word in run.communicate(timeout=60)[0].split()]
    assert len(numbers) == len(set(numbers)) == 450


def test_a_date_has_only_so_many_serials_and_the_next_date_has_them_again(tmp_path: Path) -> None:
    state = StateFile(tmp_path, "b")
    assert state.lease(60, 20260701, 100) == range(60)
    assert not state.lease(60, 20260701, 100)
    assert state.lease(40, 20260701, 100) == range(60, 100)
    assert not state.lease(1, 20260701, 100)
    assert state.lease(60, 20260702, 100) == range(100, 160)


def test_unused_serials_come_back_unless_somebody_has_leased_since(tmp_path: Path) -> None:
    state = StateFile(tmp_path, "b")
    first = state.lease(100, 20260701, 150)
    state.give_back(first[30:])
    second = state.lease(100, 20260701, 150)
    assert second == range(30, 130)
    third = state.lease(10)
    state.give_back(second[50:])
    assert state.lease(5).start == third.stop


def test_a_damaged_key_is_no_key(tmp_path: Path) -> None:
    state = StateFile(tmp_path, "b")
    assert state.load_key(MASTER) is None
    state.save_key(MASTER, KEY)
    assert state.load_key(MASTER) == KEY
    text = state.path.read_text()
    state.path.write_text(text.replace('"check_value": "', '"check_value": "00'))
    assert state.load_key(MASTER) is None


def test_serials_are_used_in_order_and_what_is_left_can_be_taken_back() -> None:
    serials = Serials()
    serials.add(range(2))
    serials.add(range(10, 13))
    assert [serials(), serials(), serials()] == [0, 1, 10]
    assert serials.left == 2
    assert serials.rest() == range(11, 13)
    with pytest.raises(SerialsSpentError):
        serials()
