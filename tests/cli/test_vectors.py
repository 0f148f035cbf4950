"""The vectors of every bank: right by both codecs, made by rule, and broken in ways that are told."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qianzhi.cli.chosen import Chosen
from qianzhi.cli.vectors import check_files, made, standing_alone, text_of

ROOT = Path(__file__).parents[2]
HERE = ROOT / "tests/vectors"
CHOSEN = Chosen(ROOT / "config")
BANKS = sorted(path.stem for path in (ROOT / "config/banks").glob("*.toml"))
LEAST, LEAST_BROKEN = 20, 10

# What may be made of a defect; any other is an error, or a result.
ALLOWED = {
    "wrong_mac": {"bad_mac"},
    "no_mac": {"bad_mac", "error"},
    "unknown_transaction": {"unsupported"},
    "wrong_number": {"no_route"},
    "amount_over_limit": {"amount_limit", "error"},
    "zero_amount": {"request", "bad_amount", "error"},
    "no_serial": {"format", "error"},
    "no_phone": {"format", "error"},
    "empty": {"error"},
    "half": {"error"},
    "nul_in_phone": {"error", "bad_mac"},
    "length_not_digits": {"error"},
    "length_zero": {"error"},
    "length_too_large": {"error"},
    "frame_not_whole": {"error"},
    "document_type": {"error"},
    "unknown_bit": {"error"},
    "pair_twice": {"error"},
}


@pytest.mark.parametrize("bank", BANKS)
def test_every_vector_of_a_bank_is_as_it_must_be(bank: str) -> None:
    report = check_files(standing_alone(CHOSEN, bank), HERE / bank)
    assert report.faults == []
    assert report.vectors >= LEAST
    assert report.broken >= LEAST_BROKEN


@pytest.mark.parametrize("bank", BANKS)
def test_vectors_are_what_the_rules_make_of_the_profile(bank: str) -> None:
    for name, rows in made(standing_alone(CHOSEN, bank)).items():
        path = HERE / bank / name
        assert (path.read_text(encoding="utf-8") if path.exists() else "[]") == (
            text_of(rows) if rows else "[]"
        ), f"run `qianzhi vectors {bank} --write` and look at the difference"


@pytest.mark.parametrize("bank", BANKS)
def test_a_broken_message_never_passes_for_a_good_one(bank: str) -> None:
    path = HERE / bank / "requests.json"
    good = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []  # none of a network's
    requests = [row["request"] for row in good]
    for row in json.loads((HERE / bank / "broken.json").read_text(encoding="utf-8")):
        defect = row["name"].rpartition(".")[2]
        verdict = row.get("result") or next(
            key for key in ("error", "request", "asked", "heartbeat") if key in row
        )
        assert verdict in ALLOWED.get(defect, {verdict} - {"request", "heartbeat"}), row["name"]
        assert row.get("request") not in requests, row["name"]


def test_no_folder_is_left_behind() -> None:
    assert {path.name for path in HERE.iterdir() if path.is_dir()} == set(BANKS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of one bank's vectors, to be spoiled."""
    shutil.copytree(HERE / "icbc", tmp_path / "vectors/icbc")
    return tmp_path / "vectors"


def vectors(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command on a folder of vectors."""
    command = [sys.executable, "-m", "qianzhi.cli.main", "vectors", *words, "--dir", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


SPOILED = [  # file, which vector, key, what stands there instead, what is told
    ("requests.json", 0, "frame", "3C", "our codec"),
    ("requests.json", 1, "wire", "3C3C", "not the frame behind its length header"),
    ("requests.json", 1, "mac_key", "00" * 16, "find the MAC wrong"),
    ("requests.json", 1, "message", {"Head": {}}, "finds another Head"),
    ("requests.json", 1, "request", {"kind": "pay"}, "stated"),
    ("answers.json", 0, "answer", {"code": "0001", "result": "busy"}, "stated"),
    ("answers.json", 0, "name", "owed.nothing_owed", "comes twice"),
    ("broken.json", 2, "error", {"field": "Head", "offset": 1, "reason": "value"}, "stated"),
    ("broken.json", 2, "frame", "zz", "no hex"),
]


@pytest.mark.parametrize(("file", "at", "key", "value", "told"), SPOILED)
def test_a_wrong_vector_is_found(
    folder: Path, file: str, at: int, key: str, value: object, told: str
) -> None:
    path = folder / "icbc" / file
    rows = json.loads(path.read_text(encoding="utf-8"))
    rows[at][key] = value
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    report = check_files(standing_alone(CHOSEN, "icbc"), folder / "icbc")
    assert any(told in fault.what and fault.file.endswith(file) for fault in report.faults), report.faults


def test_the_command_writes_checks_and_ends_by_what_it_found(folder: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    assert vectors(fresh, "icbc").returncode == 1
    assert vectors(fresh, "icbc", "--write").returncode == 0
    for path in sorted((HERE / "icbc").glob("*.json")):
        assert (fresh / "icbc" / path.name).read_bytes() == path.read_bytes()
    samples = [{"name": "owed", "direction": "in", "what": "transactions.owed", "frame": "", "note": ""}]
    (fresh / "icbc/samples.json").write_text(json.dumps(samples), encoding="utf-8")
    found = vectors(fresh, "icbc", "--write", "--json")
    assert found.returncode == 0
    (report,) = json.loads(found.stdout)
    assert (report["to_do"], report["faults"]) == (1, [])
    assert json.loads((fresh / "icbc/samples.json").read_text(encoding="utf-8")) == samples
    (folder / "icbc/requests.json").write_text("{", encoding="utf-8")
    spoiled = vectors(folder, "icbc")
    assert spoiled.returncode == 1
    assert "no JSON" in spoiled.stdout
    assert vectors(folder, "nobody").returncode == 2
