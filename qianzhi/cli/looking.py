"""Looking at a configuration and at the core: check, account, seed, audit-books."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from textwrap import wrap
from typing import TYPE_CHECKING

from qianzhi.cli.output import (
    BROKEN,
    UNREACHABLE,
    USAGE,
    CommandError,
    say,
    show_json,
    show_problems,
    show_table,
)
from qianzhi.cli.wording import counted
from qianzhi.domain.money import yuan_from_fen

if TYPE_CHECKING:
    from crm_bridge.audit import AuditReport
    from crm_bridge.lookup import AccountView, OrderView
    from crm_bridge.settings import CoreSettings
    from qianzhi.cli.checks import Checked
    from qianzhi.cli.chosen import Chosen
    from qianzhi.domain.requests import Bill
    from qianzhi.link.tables import Site


def check_command(chosen: "Chosen", as_json: bool) -> None:
    """Show every problem of the configuration; exit 2 when there is one."""
    from qianzhi.cli.checks import check

    found = check(chosen.config, chosen.site)
    if as_json:
        show_json([problem._asdict() for problem in found.problems])
    elif found.problems:
        show_problems(found.problems)
    if found.problems or found.site is None:
        raise CommandError(
            USAGE,
            f"{counted(len(found.problems), 'problem')} in the configuration",
            "no daemon starts before it is mended",
        )
    if not as_json:
        site = found.site
        sizes = {"bank": found.profiles, "node": site.nodes, "bridge": site.bridges}
        words = ", ".join(counted(len(each), noun) for noun, each in sizes.items())
        say(f"{site.file}: site {site.name!r} is valid: {words}")
        say("\n".join(wrap(", ".join(found.profiles), 76, initial_indent="    ", subsequent_indent="    ")))


def core_url(checked: "Checked", site: "Site") -> str:
    """Return the core database's URL, with the site's data folder put in."""
    return settings_of(checked, site).database


def core_of(chosen: "Chosen", role: str = "auditor") -> "tuple[Site, CoreSettings]":
    """Read what looking at the core needs and no more: the site and its core's settings, for who only reads
    where there is such a user.
    """
    from qianzhi.cli.checks import Checked, check_core
    from qianzhi.cli.daemons import site_of
    from qianzhi.runtime.problems import ConfigError

    site = site_of(chosen)
    found = Checked(site=site)
    check_core(found, site)
    if found.problems:
        raise ConfigError(found.problems)
    return site, settings_of(found, site, role)


def settings_of(checked: "Checked", site: "Site", role: str = "") -> "CoreSettings":
    """Return the core's settings, the URL of its database complete with its password; `checked` is without
    problems.

    `role` is "" for the bridges' own user, "auditor" or "owner" for these where the site has a password for
    them.  Raises ConfigError for a reference that leads nowhere.
    """
    from qianzhi.link.site import data_folder
    from qianzhi.runtime.urls import is_postgres, with_user

    if checked.core is None:
        raise CommandError(USAGE, f"{site.file} has no valid table [core]")
    url = checked.core.database.replace("{data}", str(data_folder(site)))
    if is_postgres(url):
        own = getattr(checked.core, f"{role}_password") if role else ""
        reference = own or checked.core.password
        user = f"qianzhi_{role}" if own else ""
        url = with_user(url, user, password_at(site, "core.password", reference))
    return replace(checked.core, database=url)


def password_at(site: "Site", key: str, reference: str) -> str:
    """Return the password that a reference of the site leads to, empty for none; raises ConfigError."""
    from qianzhi.link.protection import config_folder
    from qianzhi.runtime.problems import ConfigError, Problem
    from qianzhi.runtime.secrets import KeyReferenceError, resolve_password

    if not reference:
        return ""
    try:
        return resolve_password(reference, production=site.production, base=config_folder(site))
    except KeyReferenceError as error:
        found = "a reference that gives no password"
        raise ConfigError([Problem(site.file, key, found, error.expected)]) from error


def seed_command(chosen: "Chosen", subscribers: int, seed_number: int) -> None:
    """Make the core's tables; fill an empty core with subscribers."""
    from qianzhi.cli.checks import require

    checked, site = require(chosen.config, chosen.site)
    created, there = seed_core(checked, site, subscribers, seed_number)
    say(f"{created} subscribers created" if created else f"nothing to do: the core has {there} subscribers")


def seed_core(checked: "Checked", site: "Site", subscribers: int, seed_number: int = 1) -> tuple[int, int]:
    """Bring the core's tables up to date and fill an empty core; return (created, subscribers in all)."""
    from crm_bridge.gateway_errors import LockedError, SchemaError, StoreError
    from crm_bridge.seed import seed
    from qianzhi.link.site import zone_of

    url = core_url(checked, site)
    try:
        report = seed(url, subscribers, seed_number, settings=checked.core, zone=zone_of(site))
    except LockedError as error:
        advice = "stop the system first (Ctrl-C where it runs), then seed"
        raise CommandError(UNREACHABLE, f"the core is in use: {error}", advice) from error
    except (SchemaError, StoreError) as error:
        raise CommandError(UNREACHABLE, f"the core cannot be filled: {error}") from error
    return report.created, report.subscribers


@contextlib.contextmanager
def not_reachable(url: str) -> Iterator[None]:
    """Turn a core that is missing, or cannot be read now, into a plain failure."""
    from crm_bridge.gateway_errors import SchemaError, StoreError
    from crm_bridge.migrations.schema import HEAD, schema_problem, schema_revision
    from qianzhi.runtime.urls import is_postgres, shown

    try:
        found = schema_revision(url)
        if found is None and not is_postgres(url):
            raise CommandError(
                UNREACHABLE, f"there is no core at {url}", "`make run` or `qianzhi seed` makes one"
            )
        if found != HEAD:
            raise CommandError(UNREACHABLE, f"{shown(url)}: {schema_problem(found)}")
        yield
    except (StoreError, SchemaError) as error:
        raise CommandError(UNREACHABLE, f"the core cannot be read: {error}") from error


def account_command(chosen: "Chosen", phone: str, as_json: bool) -> None:
    """Show one phone's account; exit 1 when there is none."""
    from crm_bridge.lookup import find_account
    from qianzhi.link.site import zone_of

    site, core = core_of(chosen)
    with not_reachable(core.database):
        found = find_account(core.database, phone, settings=core, zone=zone_of(site))
    if found is None:
        raise CommandError(BROKEN, f"there is no phone {phone}", "phones begin at 13800000000")
    if as_json:
        show_json({**asdict(found), "bills": [bill_of(bill) for bill in found.bills]})
    else:
        show_account(found, site)


def bill_of(bill: "Bill") -> dict[str, object]:
    """Return a bill as plain data."""
    from msgspec.structs import asdict as fields_of

    return {**fields_of(bill), "total_fen": bill.total_fen}


def show_account(found: "AccountView", site: "Site") -> None:
    """Print an account: who, what lies there, open bills, latest work orders."""
    say(f"{found.phone}  {found.name}  {found.state}  book {found.book}")
    say(f"balance {yuan_from_fen(found.balance_fen)} yuan, arrears {yuan_from_fen(found.arrears_fen)} yuan")
    if not found.bills:
        say("no open bills")
    bills = [
        (
            bill.serial,
            bill.month,
            yuan_from_fen(bill.principal_fen),
            yuan_from_fen(bill.late_fee_fen),
            yuan_from_fen(bill.total_fen),
        )
        for bill in found.bills
    ]
    show_table(("open bill", "month", "principal>", "late fee>", "total>"), bills)
    show_table(
        ("posted", "work order", "kind", "yuan>", "key", ""), [order_row(each, site) for each in found.orders]
    )


def order_row(order: "OrderView", site: "Site") -> tuple[object, ...]:
    """Return one work order as a row: when, serial, kind, yuan, key, what it undoes or that it is undone."""
    undone = "reversed" if order.reversed_by else ""
    what = f"reverses {order.reverses}" if order.reverses else undone
    posted = local_time(order.posted_us, site)
    return posted, order.serial, order.kind, yuan_from_fen(order.amount_fen), order.key, what


def local_time(wall_us: int, site: "Site") -> str:
    """Write an instant in the site's time, to the microsecond."""
    from qianzhi.domain.dates import local_datetime
    from qianzhi.link.site import zone_of

    return f"{local_datetime(wall_us, zone_of(site)):%Y-%m-%d %H:%M:%S}.{wall_us % 1_000_000:06d}"


def audit_command(chosen: "Chosen", as_json: bool) -> None:
    """Prove the books; exit 1 when they are broken."""
    from crm_bridge.audit import audit_books

    _, core = core_of(chosen)
    with not_reachable(core.database):
        report = audit_books(core.database, remote=core.kind == "remote")
    if as_json:
        show_json({**asdict(report), "balanced": report.balanced})
    else:
        show_audit(report)
    if not report.balanced:
        raise CommandError(BROKEN, f"the books are broken: {sum(report.found.values())} violations")


def show_audit(report: "AuditReport") -> None:
    """Print what an audit looked at and what it found."""
    sizes = f"{report.keys} keys, {report.orders} work orders, {report.transfers} transfers"
    end = "balanced" if report.balanced else "NOT BALANCED"
    say(f"{sizes}, {report.accounts} accounts: {report.checks} checks, {end}")
    if report.violations:
        show_table(("check", "what", "detail"), report.violations)
