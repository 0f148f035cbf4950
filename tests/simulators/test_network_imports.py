"""The day-end file at a network: booked whole and once, or not at all, as its operators run it."""

import random  # noqa: TID251 - seeded
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from qianzhi.cli.main import app
from qianzhi.cli.output import CommandError
from qianzhi.domain.requests import Kind, Request
from qianzhi.runtime.now import Now
from qianzhi.saf.exported import Head, export
from qianzhi.saf.rows import Entry, State
from simulators.network import Network
from simulators.network import State as Stands
from simulators.network_books import BooksFile, read_books

CONFIG = Path(__file__).parents[2] / "config"
NOW = Now(0, 1_795_312_800_000_000)
HEAD = Head("networks", "node1", "unet", 20261122)
REVERSAL, REFUND, ADVICE = Kind.CHARGE_REVERSAL, Kind.CHARGE_REFUND, Kind.ADVICE


def charge(serial: str, amount_fen: int = 5_000, bank: str = "unet") -> Request:
    """A charge as the network reads it."""
    space = f"{bank}-out"
    return Request(
        Kind.CHARGE, space, 20261122, serial, bank, "9101", phone="13800000001", amount_fen=amount_fen
    )


def entry(name: str, kind: Kind, original: Request, **changes: object) -> Entry:
    """What a node has left to be booked by hand about a charge."""
    return Entry(
        id=name,
        destination=original.bank,
        account=original.phone,
        request=msgspec.structs.replace(original, kind=kind, reason="timeout", **changes),
        number=1,
        made_us=NOW.wall_us,
        state=State.MANUAL,
        why="its time is over",
    )


class Place:
    """A network's books after some charges, and the command that imports a file into them."""

    def __init__(self, folder: Path, bank: str = "unet", *, holds: bool = False) -> None:
        self.bank = bank
        self.folder = folder
        self.books = folder / "books.network"
        network = Network(random.Random(1), holds=holds)
        file = BooksFile(self.books)
        for serial in ("000001", "000002", "000003"):
            asked = charge(serial, 5_000 + int(serial), bank)
            network.carry_out(asked, NOW)
            file.write(asked.key, network.charges[asked.key])
        file.close()

    def imports(self, data: bytes) -> tuple[int, str]:
        """Import a file; return the exit code and what was said."""
        path = self.folder / "day-end.jsonl"
        path.write_bytes(data)
        words = ["simulate", "network", self.bank, "--books", str(self.books), "--import", str(path)]
        found = CliRunner().invoke(app, ["--config", str(CONFIG), "--site", "networks", *words])
        if isinstance(found.exception, CommandError):
            return found.exception.code, f"{found.output}{found.exception} {found.exception.advice}"
        assert found.exception is None, found.exception
        return found.exit_code, found.output

    def states(self) -> dict[str, Stands]:
        """How each charge stands, by its serial."""
        return {key.serial: each.state for key, each in read_books(self.books).items()}

    def taken_fen(self) -> int:
        """What its cardholders have paid to us."""
        network = Network(random.Random(1))
        network.restore(read_books(self.books).items())
        assert network.balanced()
        return network.taken_fen()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """unet, which has taken 50.01, 50.02 and 50.03."""
    return Place(tmp_path)


@pytest.fixture
def day_end() -> bytes:
    """A reversal, a refund, and the reversal of a charge that the network never saw."""
    return export(
        HEAD,
        [
            entry("node1-1", REVERSAL, charge("000001", 5_001)),
            entry("node1-2", REFUND, charge("000002", 5_002)),
            entry("node1-3", REVERSAL, charge("000009", 900)),
        ],
    )


def test_a_file_is_booked_once_however_often_it_comes(place: Place, day_end: bytes) -> None:
    code, said = place.imports(day_end)
    assert (code, "3 lines booked, 0 were booked before" in said) == (0, True), said
    booked = {
        "000001": Stands.REVERSED,
        "000002": Stands.REFUNDED,
        "000003": Stands.TAKEN,
        "000009": Stands.BLOCKED,
    }
    assert (place.states(), place.taken_fen()) == (booked, 5_003)
    before = place.books.read_bytes()
    code, said = place.imports(day_end)
    assert (code, "0 lines booked, 3 were booked before" in said) == (0, True), said
    assert place.books.read_bytes() == before


def test_files_that_overlap_book_each_entry_once(place: Place, day_end: bytes) -> None:
    more = export(
        HEAD,
        [
            entry("node1-2", REFUND, charge("000002", 5_002)),
            entry("node1-4", REVERSAL, charge("000003", 5_003)),
        ],
    )
    assert place.imports(more)[0] == 0
    assert "2 lines booked, 1 were booked before" in place.imports(day_end)[1]
    assert place.taken_fen() == 0


def test_what_was_reversed_by_a_file_hears_yes_online_and_is_not_given_back_twice(
    place: Place, day_end: bytes
) -> None:
    place.imports(day_end)
    network = Network(random.Random(1))
    network.restore(read_books(place.books).items())
    left = network.left_fen("13800000001")
    told = network.carry_out(entry("x", REVERSAL, charge("000001", 5_001)).request, NOW)
    assert told is not None
    assert told.reply.result.name == "APPROVED"
    assert network.left_fen("13800000001") == left
    late = network.carry_out(charge("000009", 900), NOW)
    assert late is not None
    assert late.reply.result.name == "BLOCKED"


def spoilt(data: bytes) -> dict[str, bytes]:
    """A sound file in forms of which nothing may be booked."""
    lines = data.splitlines(keepends=True)
    return {
        "the hash differs": data.replace(b'"phone":"13800000001"', b'"phone":"13800000002"', 1),
        "totals are not": data.replace(b'"amount_fen":5001', b'"amount_fen":5002', 1),
        "no trailer": b"".join(lines[:-1]),
        "cut off": data[:-10],
        "cannot be read": b"not a file of ours\n" * 3,
        "is for vnet": export(HEAD._replace(destination="vnet"), []),
        "is a block, which": export(
            HEAD,
            [
                entry("a", REVERSAL, charge("000001", 5_001)),
                entry("b", Kind.BLOCK, charge("000002", 5_002)),
            ],
        ),
        "about no charge of unet": export(
            HEAD,
            [
                entry("a", REVERSAL, charge("000001", 5_001)),
                entry("b", REVERSAL, charge("000002", 5_002, "vnet")),
            ],
        ),
    }


@pytest.mark.parametrize("word", list(spoilt(export(HEAD, []))))
def test_of_a_damaged_or_foreign_file_nothing_is_booked(place: Place, day_end: bytes, word: str) -> None:
    before = place.books.read_bytes()
    code, said = place.imports(spoilt(day_end)[word])
    assert code == 1
    assert word in said
    assert "nothing of it was booked" in said
    assert place.books.read_bytes() == before


def test_a_line_that_does_not_fit_is_named_and_those_beside_it_are_booked(place: Place) -> None:
    data = export(
        HEAD,
        [
            entry("a", REVERSAL, charge("000001", 4_999)),
            entry("b", REFUND, charge("000008", 700)),  # refunds nothing that it knows
            entry("c", REVERSAL, charge("000002", 5_002)),
        ],
    )
    for booked, known in ((1, 0), (0, 1)):
        code, said = place.imports(data)
        assert code == 1
        assert f"{booked} lines booked, {known} were booked before" in said
        assert "a: amount_differs; b: not_found" in said
        assert place.taken_fen() == 5_001 + 5_003


def test_an_advice_takes_what_was_put_aside(tmp_path: Path) -> None:
    place = Place(tmp_path, "mnet", holds=True)
    assert place.taken_fen() == 0
    head = HEAD._replace(destination="mnet")
    data = export(head, [entry("a", ADVICE, charge("000001", 5_001, "mnet"))])
    for _ in range(2):
        assert place.imports(data)[0] == 0
        assert place.taken_fen() == 5_001


def test_a_line_that_a_kill_cut_is_booked_by_the_next_import(place: Place, day_end: bytes) -> None:
    """A charge and the id of what books it stand in one line: both are there, or neither."""
    place.imports(day_end)
    whole = place.books.read_bytes()
    lines = whole.splitlines(keepends=True)
    for at in range(3):  # the lines of the import, each cut in turn
        cut = len(b"".join(lines[: len(lines) - 3 + at])) + len(lines[len(lines) - 3 + at]) // 2
        place.books.write_bytes(whole[:cut])
        assert f"{3 - at} lines booked, {at} were booked before" in place.imports(day_end)[1]
        assert place.taken_fen() == 5_003


def test_books_that_a_running_network_has_are_left_alone(place: Place, day_end: bytes) -> None:
    running = BooksFile(place.books)
    code, said = place.imports(day_end)
    assert code == 2
    assert "in use" in said
    running.close()
    assert place.imports(day_end)[0] == 0
