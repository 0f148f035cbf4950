"""A bank's result codes: the table `[results]` of a profile, and both ways of reading it.

Every result of the domain has a code, so that no outcome is ever made up on the way; several results may
share one. UNKNOWN and IN_PROCESS have codes of their own: a bank that reads them must never conclude that
money stands or not.
"""

from collections.abc import Collection
from dataclasses import field
from typing import Literal

from qianzhi.domain.results import HOUSE_RESULTS, Result
from qianzhi.runtime.problems import Problem
from qianzhi.runtime.table import table

OPEN_RESULTS = frozenset({Result.UNKNOWN, Result.IN_PROCESS})
NAMES = {result.name.lower(): result for result in Result if result not in HOUSE_RESULTS}
ONLY_OF = {"totals_differ": "totals", "spent": "void"}  # results that one kind alone can have
# Nobody has proved that such a message is the bank's, so its refusal can never block a key first.
_UNPROVED_REPEAT = "a code after which the same serial may be sent again, because its key is not blocked"


@table
class ResultsTable:
    """`codes` maps the results' names, in small letters, to the dialect's codes.

    `on_unknown` says what a bank hears when the deadline comes before an answer: the code of UNKNOWN, or
    silence. `repeat_codes` are those with which the bank may send the same serial again (money rule 8): an
    edge refusal with any other code first blocks its key.  `texts` are shown beside a code where the dialect
    has a place for them.
    """

    codes: dict[str, str]
    on_unknown: Literal["code", "silence"] = "code"
    repeat_codes: list[str]
    texts: dict[str, str] = field(default_factory=dict)


class Results:
    """The two ways between a result and a bank's code; built once per profile from a checked table."""

    def __init__(self, rows: ResultsTable) -> None:
        self.silent_on_unknown = rows.on_unknown == "silence"
        self.repeat_codes = frozenset(rows.repeat_codes)
        self.texts = rows.texts
        self._codes = {NAMES[name]: code for name, code in rows.codes.items() if name in NAMES}
        self._results: dict[str, Result] = {}
        for result, code in self._codes.items():
            self._results.setdefault(code, result)

    def code_of(self, result: Result) -> str:
        """Return the bank's code of a result."""
        return self._codes[result]

    def result_of(self, code: str) -> Result | None:
        """Return what a code says, None for a code that the profile does not know.

        Of several results that share a code it is the one that the profile names first.
        """
        return self._results.get(code)

    def text_of(self, result: Result) -> str:
        """Return the text beside the code, or empty."""
        return self.texts.get(result.name.lower(), "")

    def may_repeat(self, result: Result) -> bool:
        """Tell whether the bank may send the same serial again after an edge refusal with this result."""
        return self._codes[result] in self.repeat_codes


def check_results(rows: ResultsTable, file: str, kinds: Collection[str]) -> list[Problem]:
    """Return everything that is wrong with the table: unknown names, missing and ambiguous codes.

    `kinds` are those of the profile's transactions: a result that only others have needs no code.
    """
    problems = [
        Problem(file, f"results.{part}.{name}", "no result of the platform", f"one of {', '.join(NAMES)}")
        for part, names in (("codes", rows.codes), ("texts", rows.texts))
        for name in names
        if name not in NAMES
    ]
    silent = {"unknown"} if rows.on_unknown == "silence" else set()
    silent |= {name for name, kind in ONLY_OF.items() if kind not in kinds}
    problems += [
        Problem(file, f"results.codes.{name}", "missing", "the bank's code for this result")
        for name in NAMES
        if name not in rows.codes and name not in silent
    ]
    problems += _check_meaning(rows, file)
    problems += [
        Problem(file, "results.repeat_codes", f"without {rows.codes[name]!r} for {name}", _UNPROVED_REPEAT)
        for name in ("bad_mac", "not_signed_on")
        if name in rows.codes and rows.codes[name] not in rows.repeat_codes
    ]
    known = set(rows.codes.values())
    problems += [
        Problem(file, "results.repeat_codes", repr(code), "a code that stands in results.codes")
        for code in rows.repeat_codes
        if code not in known
    ]
    return problems


def _check_meaning(rows: ResultsTable, file: str) -> list[Problem]:
    """A code of approval, or of an open outcome, must not also say something else."""
    problems = []
    meanings: dict[str, set[str]] = {}
    for name, code in rows.codes.items():
        kind = "approved" if name == "approved" else "open" if NAMES.get(name) in OPEN_RESULTS else "refused"
        meanings.setdefault(code, set()).add(kind)
    for code, kinds in meanings.items():
        if len(kinds) > 1:
            names = ", ".join(name for name, own in rows.codes.items() if own == code)
            problems.append(
                Problem(
                    file, "results.codes", f"{code!r} for {names}", "no code both open, approved or refused"
                )
            )
    return problems
