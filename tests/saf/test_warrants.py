"""Warrants and receipts: each is good for one act of one kind about one entry, and neither is the other."""

from itertools import pairwise
from typing import Any

import pytest

from qianzhi.runtime.admin import AdminError
from qianzhi.saf.answers import NeverAdminError, Warranted
from qianzhi.saf.warrants import Asked, Warrants

KEY = bytes(range(32))
WARRANTS = Warrants(KEY)
ASKED = Asked("7", "saf-retry", "net/20261117/000001/charge_reversal", "the network is back")
OTHERS = [
    ASKED._replace(act="8"),
    ASKED._replace(kind="saf-settle"),
    ASKED._replace(entry="net/20261117/000002/charge_reversal"),
    ASKED._replace(why="another reason"),
    ASKED._replace(act="7saf", kind="-retry"),
]


class Later:
    """A Deferred that has fired."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def addCallbacks(self, done: Any, failed: Any) -> "Later":
        if isinstance(self.value, Exception):
            return Later(failed(Failure(self.value)))
        return Later(done(self.value))


class Failure:
    """A Failure as Twisted has it."""

    def __init__(self, value: Exception) -> None:
        self.value = value

    def trap(self, kind: type[Exception]) -> None:
        if not isinstance(self.value, kind):
            raise self.value


class Daemon:
    """Commands that say what they were asked, and what a test wants."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.says: Any = {"id": ASKED.entry, "state": "open"}
        names = ("saf_list", "saf_retry", "saf_expire", "saf_settle")
        plain = {name: self.command(name) for name in names}
        self.held = Warranted(KEY, "node1").hold(plain)

    def command(self, name: str) -> Any:
        def command(arguments: dict[str, Any]) -> Later:
            self.asked.append((name, dict(arguments)))
            return Later(self.says)

        return command

    def ask(self, command: str, **arguments: Any) -> Any:
        return self.held[command](arguments).value


def given(asked: Asked = ASKED, warrant: str = "") -> dict[str, Any]:
    return {
        "id": asked.entry,
        "act": asked.act,
        "why": asked.why,
        "warrant": warrant or WARRANTS.warrant(asked),
    }


def test_a_warrant_is_for_one_act_one_kind_and_one_entry() -> None:
    warrant = WARRANTS.warrant(ASKED)
    assert WARRANTS.allows(ASKED, warrant)
    assert not any(WARRANTS.allows(other, warrant) for other in OTHERS)
    assert not any(WARRANTS.allows(ASKED, wrong) for wrong in ("", warrant[:-1], warrant.upper(), "é"))
    assert not Warrants(bytes(32)).allows(ASKED, warrant)
    assert not any(a == b for a, b in pairwise(sorted(map(WARRANTS.warrant, [ASKED, *OTHERS]))))


def test_a_receipt_is_for_one_end_and_no_warrant_is_one() -> None:
    detail = {"node": "node1", "state": "open"}
    receipt = WARRANTS.receipt(ASKED, "approved", detail)
    assert WARRANTS.proves(ASKED, "approved", dict(reversed(detail.items())), receipt)
    assert not WARRANTS.proves(ASKED, "too_late", detail, receipt)
    assert not WARRANTS.proves(ASKED, "approved", {**detail, "state": "manual"}, receipt)
    assert not WARRANTS.proves(OTHERS[0], "approved", detail, receipt)
    assert not WARRANTS.allows(ASKED, receipt)
    assert not WARRANTS.proves(ASKED, "approved", detail, WARRANTS.warrant(ASKED))


@pytest.mark.parametrize("command", ["saf_retry", "saf_expire", "saf_settle"])
def test_a_daemon_changes_no_entry_without_a_warrant_for_that(command: str) -> None:
    daemon = Daemon()
    kind = command.replace("_", "-")
    asked = ASKED._replace(kind=kind)
    wrong = [other for other in [ASKED, *OTHERS] if other != asked]
    for other in wrong:
        with pytest.raises(AdminError, match=f"no second operator has approved act {asked.act} as {kind}"):
            daemon.ask(command, **given(asked, WARRANTS.warrant(other)))
    for lacking in ("id", "act", "warrant"):
        with pytest.raises(AdminError):
            daemon.ask(command, **{name: text for name, text in given(asked).items() if name != lacking})
    with pytest.raises(AdminError, match="unknown arguments"):
        daemon.ask(command, **given(asked), deadline_minutes=5)
    assert daemon.asked == []
    answer = daemon.ask(command, **given(asked))
    assert [name for name, _ in daemon.asked] == [command]
    assert (answer["result"], answer["detail"]) == ("approved", {"node": "node1", "state": "open"})
    assert WARRANTS.proves(asked, answer["result"], answer["detail"], answer["receipt"])


def test_what_can_never_be_done_has_a_receipt_too_and_what_may_go_later_has_none() -> None:
    daemon = Daemon()
    daemon.says = NeverAdminError("too_late", "it has ended")
    answer = daemon.ask("saf_retry", **given())
    assert (answer["result"], answer["detail"]["why"]) == ("too_late", "it has ended")
    assert WARRANTS.proves(ASKED, "too_late", answer["detail"], answer["receipt"])
    daemon.says = AdminError("it is on its way; try again in a moment")
    with pytest.raises(AdminError, match="on its way"):
        daemon.ask("saf_retry", **given())


def test_looking_needs_no_warrant() -> None:
    daemon = Daemon()
    daemon.ask("saf_list", state="manual")
    assert daemon.asked == [("saf_list", {"state": "manual"})]
