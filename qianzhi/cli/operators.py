"""`qianzhi operator add|list|password|reset|retire`: who may propose and approve what moves money."""

from typing import TYPE_CHECKING, Any

from qianzhi.cli.daemons import site_of
from qianzhi.cli.draining import os_user
from qianzhi.cli.looking import core_of, not_reachable
from qianzhi.cli.office import Proposal, Who, ask_bridge, propose, short_time, show_act
from qianzhi.cli.output import USAGE, CommandError, say, show_json, show_table
from qianzhi.cli.passwords import read_new_password

if TYPE_CHECKING:
    from qianzhi.cli.chosen import Chosen
    from qianzhi.link.tables import Site

FIRST = 2  # so many choose their password as they are added: nobody could approve them
CHOOSES = "`qianzhi operator password --as {name}` chooses one; the present one is both halves, FIRST-SECOND"
ENOUGH = 3  # with two, of whom one has forgotten the password, nobody can approve anything


def add_command(chosen: "Chosen", name: str, who: Who, new_file: str, as_json: bool) -> None:
    """Add one of the first two operators, or propose a further one."""
    site = site_of(chosen)
    there = _active(chosen)
    if len(there) >= FIRST:
        if new_file:
            raise CommandError(
                USAGE, f"{name} chooses the password, when he is one", CHOOSES.format(name=name)
            )
        _show_invited(site, name, ask_bridge(site, "operator_add", **who.sign(), name=name), as_json)
        return
    if there and who.operator not in there:
        say_who = f"say who asks: qianzhi operator add {name} --as {there[0]}"
        raise CommandError(USAGE, f"{who.operator} is no operator", say_who)
    signed = who.sign() if there else {"by": f"os:{os_user()}", "password": ""}
    new = read_new_password(name, new_file)
    answer = ask_bridge(site, "operator_enlist", **signed, name=name, new_password=new)
    if as_json:
        show_json(answer)
        return
    say(f"{name} is an operator now")
    if not there:
        say("add a second one next: what moves money waits for another operator than the one who asks for it")
        say(f"    qianzhi operator add NAME --as {name}")
    elif len(there) + 1 < ENOUGH:
        say(f"a third one, whom one of {there[0]} and {name} proposes and the other approves, keeps you able")
        say(f"to act when one cannot: qianzhi operator add NAME --as {name}")


def list_command(chosen: "Chosen", as_json: bool) -> None:
    """Show who is, was or may become an operator."""
    from crm_bridge.operators.store import read_operators
    from qianzhi.runtime import clock

    site, core = core_of(chosen)
    with not_reachable(core.database):
        found = read_operators(core.database)
    if as_json:
        show_json([one._asdict() | {"state": one.state.name.lower()} for one in found])
        return
    if not found:
        say("there is no operator yet: `qianzhi operator add NAME`, twice")
    now_us = clock.now().wall_us
    rows = [
        (
            one.name,
            one.state.name.lower(),
            short_time(one.made_us, site),
            f"locked until {short_time(one.locked_until_us, site)}" if one.locked_until_us > now_us else "",
        )
        for one in found
    ]
    show_table(("operator", "is", "since", ""), rows)


def password_command(chosen: "Chosen", who: Who, new_file: str) -> None:
    """Let an operator choose another password."""
    signed = who.sign()
    new = read_new_password(who.operator, new_file)
    ask_bridge(site_of(chosen), "operator_password", **signed, new_password=new)
    say(f"{who.operator} has a new password")


def reset_command(chosen: "Chosen", name: str, who: Who, as_json: bool) -> None:
    """Propose that an operator who has forgotten his password chooses another one."""
    site = site_of(chosen)
    _show_invited(site, name, ask_bridge(site, "operator_reset", **who.sign(), name=name), as_json)


def retire_command(chosen: "Chosen", name: str, who: Who, reason: str, as_json: bool) -> None:
    """Propose that somebody is no operator any more."""
    propose(chosen, who, [Proposal("operator-retire", name, {"name": name}, reason)], as_json)


def show_code(name: str, code: str, *, first: bool) -> None:
    """Show a half of somebody's code, which nobody can be told again, and what he does with it."""
    half, other = ("first", "whoever approves") if first else ("second", "the maker")
    say(f"    {half} half of the code: {code}")
    say(f"    tell it {name} alone, and now: it is kept nowhere, and the other half has {other}")
    if not first:
        say(f"    {CHOOSES.format(name=name)}")


def _show_invited(site: "Site", name: str, answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(answer)
        return
    show_act(answer["act"], site)
    show_code(name, answer["code"], first=True)


def _active(chosen: "Chosen") -> list[str]:
    """Return who is an operator, the first one first."""
    from crm_bridge.operators.store import read_operators

    _, core = core_of(chosen)
    with not_reachable(core.database):
        found = read_operators(core.database)
    active = [one for one in found if one.state.name == "ACTIVE"]
    return [one.name for one in sorted(active, key=lambda one: one.made_us)]
