"""Asking a bridge of this machine for what operators do, and showing the acts that come of it.

Whoever asks says who he is with a password each time; nothing of it is kept between two commands.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qianzhi.cli.daemons import folder_of_sockets, site_of
from qianzhi.cli.looking import local_time
from qianzhi.cli.output import BROKEN, UNKNOWN, UNREACHABLE, CommandError, say, show_json
from qianzhi.cli.passwords import operator_name, read_password
from qianzhi.cli.wording import meaning
from qianzhi.domain.money import yuan_from_fen
from qianzhi.domain.results import Result

if TYPE_CHECKING:
    from pathlib import Path

    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site

ANSWER_SECONDS = 90.0  # a bridge gives up before
LOOK = "`qianzhi pending` shows how it stands"


@dataclass(frozen=True)
class Who:
    """Who asks: the operator's name (empty: this machine's user), and the file of his password."""

    name: str = ""
    file: str = ""

    @property
    def operator(self) -> str:
        """The operator's name."""
        return operator_name(self.name)

    def sign(self) -> dict[str, str]:
        """Return name and password as a bridge wants them; asks at the terminal where no file is given."""
        return {"by": self.operator, "password": read_password(self.operator, self.file)}


def ask_bridge(site: "Site", command: str, **arguments: Any) -> dict[str, Any]:
    """Ask the first bridge of this machine that answers; raises CommandError for a refusal.

    The outcome is unknown where a bridge took the question and did not answer.
    """
    from qianzhi.runtime.admin import AdminError, ask

    for path in _sockets(site):
        try:
            answer = ask(path, command, timeout_seconds=ANSWER_SECONDS, **arguments)
        except AdminError as error:
            said = str(error)
            if said.startswith("no daemon answers"):
                continue
            lost = said.startswith("no answer") or "without an answer" in said
            code, advice = (UNKNOWN, LOOK) if lost else (UNREACHABLE, "nothing was done")
            raise CommandError(code, said, advice) from error
        if "refused" in answer:
            raise CommandError(BROKEN, answer["refused"], answer["advice"])
        return answer
    advice = "run the command on a machine where a bridge runs; `qianzhi status` names them"
    raise CommandError(UNREACHABLE, "no bridge answers on this machine", advice)


def _sockets(site: "Site") -> "list[Path]":
    folder = folder_of_sockets(site)
    return [path for name in site.bridges if (path := folder / f"{name}.sock").exists()]


@dataclass(frozen=True)
class Proposal:
    """What is to be proposed, and the words in which it is shown."""

    kind: str
    subject: str
    arguments: dict[str, Any]
    reason: str


def propose(chosen: "Chosen", who: Who, proposals: list[Proposal], as_json: bool) -> None:
    """Propose acts and show them; each waits for a second operator then."""
    site = site_of(chosen)
    signed = who.sign()
    acts = []
    for one in proposals:
        answer = ask_bridge(
            site,
            "act_propose",
            **signed,
            kind=one.kind,
            subject=one.subject,
            arguments=one.arguments,
            reason=one.reason,
        )
        acts.append(answer["act"])
        if not as_json:
            show_act(answer["act"], site)
    if as_json:
        show_json(acts)


def show_act(act: dict[str, Any], site: "Site") -> None:
    """Show an act: what, by whom, why, how it stands and what comes next."""
    say(f"act {act['id']}: {act['kind']} {act['subject']}")
    for line in content(act):
        say(f"    {line}")
    why = f", because: {act['reason']}" if act["reason"] else ""
    say(f"    proposed by {act['maker']}, {short_time(act['made_us'], site)}{why}")
    say(f"    {standing(act, site)}")


def content(act: dict[str, Any]) -> list[str]:
    """Say what an act is about beyond its subject."""
    given = act["arguments"]
    found = []
    if given.get("what"):
        found.append(str(given["what"]))
    if given.get("amount_fen"):
        phone = f" for {given['phone']}" if given.get("phone") else ""
        found.append(f"{yuan_from_fen(given['amount_fen'])} yuan{phone}")
    return found


def standing(act: dict[str, Any], site: "Site") -> str:
    """Say in a line how an act stands."""
    number, checker = act["id"], act["checker"]
    decided, ended = short_time(act["decided_us"], site), short_time(act["ended_us"], site)
    return {
        "pending": f"waits for a second operator until {short_time(act['expires_us'], site)}: "
        f"qianzhi approve {number}",
        "approved": f"approved by {checker}, {decided}, and not carried out yet: qianzhi approve {number}",
        "done": f"approved by {checker}, {decided}; done: {result_words(act['result'])}",
        "refused": f"refused by {checker}, {decided}",
        "withdrawn": f"withdrawn by {act['maker']}, {decided}",
        "expired": f"nobody approved it in time; it expired {ended}",
    }[act["state"]]


def result_words(result: str) -> str:
    """Say what the core's or a node's word means."""
    name = result.upper()
    if name == "TOO_LATE":
        return "too late, it had gone on by itself"
    if name == "APPROVED" or name not in Result.__members__:
        return result.replace("_", " ")
    return meaning(Result[name])


def short_time(wall_us: int, site: "Site") -> str:
    """Write an instant in the site's time to the second, nothing for none."""
    return local_time(wall_us, site)[:19] if wall_us else ""


def end_of(act: dict[str, Any], no_word: str = "") -> None:
    """End the command as the act ended: raises CommandError unless it waits or is approved and done."""
    if act["state"] == "done" and act["result"] != "approved":
        why = act["detail"].get("why", "")
        what = f"it was not carried out: {result_words(act['result'])}" + (f" ({why})" if why else "")
        raise CommandError(BROKEN, what, NOTHING_MOVED)
    if act["state"] == "approved" and no_word:
        raise CommandError(
            UNKNOWN,
            f"it is approved, and the core has not said whether it was carried out ({no_word})",
            f"run `qianzhi approve {act['id']}` again: it is carried out once however often that is done",
        )


NOTHING_MOVED = "nothing moved by it; propose it anew when the reason is gone"
