"""What there is to say about one bank: its profile, its spec read for explaining, its samples and its
names.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from frontends.mapping_rows import ANYTHING, values_of
from frontends.mapping_tables import When
from frontends.session_dates import NOTICE
from qianzhi.cli.document.asking import outward_samples
from qianzhi.cli.document.borders import Border, borders
from qianzhi.cli.document.line_samples import close_line, open_line
from qianzhi.cli.document.page import Both, code, joined, split_title
from qianzhi.cli.document.places import Where
from qianzhi.cli.document.samples import House, Sample, find, money_samples
from qianzhi.cli.document.specs import Spec, read_spec
from qianzhi.domain.requests import MONEY_KINDS, Kind
from qianzhi.domain.results import Result

if TYPE_CHECKING:
    from frontends.profile import Profile


@dataclass(frozen=True)
class Facts:
    """One bank, ready to be described.

    `keys` are the printed test keys, `borders` what broken requests hear, `where` how one site is reached
    (None: the addresses are told elsewhere).
    """

    profile: "Profile"
    spec: Spec
    samples: list[Sample]
    keys: dict[str, bytes]
    borders: list[Border] = field(default_factory=list)
    where: Where | None = None

    @property
    def title(self) -> Both:
        """Return the bank's title."""
        return split_title(self.profile.title)

    @property
    def queued(self) -> bool:
        """Whether messages are kept for us, in queues or files, so that none is refused for want of room."""
        return self.profile.transport.redelivers

    @property
    def engine(self) -> str:
        """Return what keeps the messages of a bank that is `queued`: a queue's engine, or `files`."""
        kind = self.profile.transport.kind
        return kind if kind == "files" else self.profile.engine

    def label(self, path: str) -> str:
        """Return what the document calls a path, as a code span."""
        return code(self.spec.label(path))

    def when(self, when: When) -> Both:
        """Write what a message says to be this one: `MTI` = `0200`, …"""
        special = {"": Both("blank", "空"), ANYTHING: Both("anything but blank", "非空")}
        return joined(
            joined(
                [
                    f"{self.label(path)} = ",
                    joined([special.get(value, code(value)) for value in values_of(wanted)], " / ", " / "),
                ],
                "",
                "",
            )
            for path, wanted in when.items()
        )

    def sample(self, name: str, part: str) -> Sample | None:
        """Return a sample by name and part."""
        return find(self.samples, name, part)

    def code_of(self, result: Result) -> str:
        """Return the bank's code of a result as a code span; silence has none."""
        if result is Result.UNKNOWN and self.profile.results.silent_on_unknown:
            return ""
        return code(self.profile.results.code_of(result))

    def names_of(self, *kinds: Kind) -> list[str]:
        """Return the transactions of these kinds, in the profile's order."""
        rows = self.profile.table.transactions
        return [name for name, row in rows.items() if Kind[row.kind.upper()] in kinds]

    def names_of_money(self) -> list[str]:
        """Return the transactions that move money."""
        return self.names_of(*MONEY_KINDS)

    @property
    def exchanged(self) -> bool:
        """Whether MAC keys are exchanged by messages."""
        return self.profile.session.keys in ("ours", "theirs")

    @property
    def repeat_flag(self) -> str:
        """Return the path of the repeat flag, empty where the dialect has none."""
        taken = [
            self.profile.table.request.take,
            *(row.take for row in self.profile.table.transactions.values()),
        ]
        rows = [str(rows["repeat"]) for rows in taken if "repeat" in rows]
        return rows[0].partition("|")[0] if rows else ""

    @property
    def yearless(self) -> bool:
        """Whether requests name their business date by month and day alone."""
        table = self.profile.table
        rows = [{**table.request.take, **row.take}.get("date", "") for row in table.transactions.values()]
        return any("|mmdd:" in str(row) for row in rows)

    @property
    def by_notice(self) -> bool:
        """Whether the bank tells when a business date begins."""
        return self.profile.session.cutover == NOTICE

    @property
    def dated(self) -> bool:
        """Whether requests carry a business date of their own."""
        return self.profile.table.dated


def gather(profile: "Profile", where: Where | None = None) -> Facts:
    """Gather everything, with samples that the front-end's core has answered."""
    house = House(profile)
    open_line(house)
    money_samples(house)
    outward_samples(house)
    spec = read_spec(profile.spec)
    broken = borders(house, spec.label)
    close_line(house)
    return Facts(profile, spec, house.samples, house.keys, broken, where)
