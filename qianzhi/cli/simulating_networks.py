"""`qianzhi simulate network` and `qianzhi simulate charge`: a payment network, and money asked of it.

For trying only: in production a charge is asked by whatever takes customers' orders, at a node's socket.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qianzhi.cli.chosen import chosen
from qianzhi.cli.output import BROKEN, UNKNOWN, UNREACHABLE, USAGE, CommandError, say, show_json
from qianzhi.cli.simulating import book, simulate_app

if TYPE_CHECKING:
    from frontends.profile import Profile
    from qianzhi.link.tables import Site
    from simulators.network import Plan
    from simulators.network_books import BooksFile

Mille = Annotated[int, typer.Option(min=0, max=1_000, help="So many of a thousand, by chance.")]
AGAIN = "ask again with the same --order"
CHARGE_SECONDS = 90.0  # a network may take its whole time to answer, and the core its own


@simulate_app.command("network")
def simulate_network(
    context: typer.Context,
    bank: Annotated[str, typer.Argument(metavar="BANK", help="A network of the site, such as unet.")],
    books: Annotated[
        Path | None, typer.Option("--books", metavar="FILE", help="Its books; in the data folder by default.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 1,
    declined: Mille = 0,
    late: Mille = 0,
    silent: Mille = 0,
    lost: Mille = 0,
    late_seconds: Annotated[float, typer.Option("--late-seconds", min=0)] = 60,
    day_end: Annotated[
        Path | None,
        typer.Option("--import", metavar="FILE", help="Book a file of `qianzhi saf export`, and end."),
    ] = None,
) -> None:
    """Be a payment network at the other end of a front-end, in the foreground.

    The last two digits of a charge's amount ask for a fate:
    51 declined, 68 late, 95 silent and so its first reversal, 96 busy, 98 silent, 99 lost.
    SIGUSR1 closes the line, SIGUSR2 opens it.
    """
    from qianzhi.cli.daemons import site_of
    from qianzhi.cli.describing import profile_of
    from qianzhi.link.site import data_folder
    from simulators.network import Plan

    picked, site = chosen(context), site_of(chosen(context))
    profile = network_of(profile_of(picked, bank), site)
    path = books or data_folder(site) / "simulators" / f"{bank}.network"
    if day_end is not None:
        book_at_network(profile, path, day_end)
    else:
        plan = Plan(declined, late, silent, lost, int(late_seconds * 1_000_000))
        play(site, profile, picked.config, path, plan, seed)


def play(site: "Site", profile: "Profile", config: Path, path: Path, plan: "Plan", seed: int) -> None:
    """Run one network with its books at `path`, until it is told to end."""
    from qianzhi.runtime.daemon import install_reactor

    reactor = install_reactor()
    from qianzhi.runtime.secrets import KeyReferenceError
    from simulators.lines import NoLineError
    from simulators.network_client import NetworkClient, serve

    try:
        client = NetworkClient(site, profile, config, books_at(path), plan, seed, reactor)
    except (KeyReferenceError, NoLineError) as error:
        raise CommandError(USAGE, f"{profile.name}: {error}") from error
    serve(client, reactor, lambda text: say(f"{text}, books in {path}; Ctrl-C ends it"))


def book_at_network(profile: "Profile", path: Path, day_end: Path) -> None:
    """Book a day-end file at a network that is not running."""
    from qianzhi.runtime import clock
    from simulators.network_imports import import_file

    books = books_at(path)
    try:
        book(day_end, lambda data: import_file(profile, books, data, clock.now()))
    finally:
        books.close()


def books_at(path: Path) -> "BooksFile":
    """Open a network's books; raises CommandError while another process has them."""
    from simulators.network_books import BooksFile, BooksInUseError

    try:
        return BooksFile(path)
    except BooksInUseError as error:
        raise CommandError(
            USAGE, str(error), "end the network that has them, or take other --books"
        ) from error


def network_of(profile: "Profile", site: "Site") -> "Profile":
    """Return a profile that we ask for money; raises CommandError for another."""
    if profile.outward is None or profile.name not in site.banks:
        advice = "try --site networks, whose networks are unet, vnet, mnet and lnet"
        raise CommandError(USAGE, f"nothing is asked of {profile.name} in {site.file}", advice)
    return profile


@simulate_app.command("charge")
def simulate_charge(
    context: typer.Context,
    bank: Annotated[str, typer.Argument(metavar="BANK", help="A network of the site, such as unet.")],
    phone: Annotated[str, typer.Argument(metavar="PHONE")],
    amount: Annotated[str, typer.Argument(metavar="YUAN", help="Such as 50.00.")],
    order: Annotated[
        str, typer.Option("--order", help="Asked again, the same order says how it stands.")
    ] = "",
    node: Annotated[str, typer.Option("--node", help="Any node of this machine by default.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print data as JSON.")] = False,
) -> None:
    """Ask a network for a customer's money and credit it, as an order would; for trying.

    Exit code 0 when it is credited, 1 when it is not, 4 while it is open.
    """
    from qianzhi.cli.banks import phone_of
    from qianzhi.cli.daemons import site_of
    from qianzhi.cli.describing import profile_of
    from qianzhi.domain.money import MoneyError, fen_from_yuan
    from qianzhi.runtime import clock

    picked, site = chosen(context), site_of(chosen(context))
    if site.production:
        raise CommandError(USAGE, "this site is in production", "its charges are asked by orders")
    network_of(profile_of(picked, bank), site)
    try:
        amount_fen = fen_from_yuan(amount)
    except MoneyError as error:
        raise CommandError(USAGE, f"{amount!r}: {error}") from error
    if not amount_fen:
        raise CommandError(USAGE, f"{amount!r} is no amount to charge", "write one above 0, such as 50.00")
    order = order or f"try-{clock.now().wall_us:x}"
    said = ask_node(site, node, bank=bank, phone=phone_of(phone), amount_fen=amount_fen, order=order)
    if as_json:
        show_json(said)
    else:
        reason = said.get("reason") or said.get("why")
        because = f", {reason}" if reason else ""
        key = f", key {said['key']}" if said.get("key") else ""
        say(f"order {order}: {said['state']}{because}{key}")
    finish(str(said["state"]))


def finish(state: str) -> None:
    """End with the code that a charge's state means."""
    if state == "credited":
        return
    if state in ("declined", "refunding", "lapsed", "unreversed", "reversing"):
        raise CommandError(BROKEN, f"not credited: {state}")
    if state == "refused":
        raise CommandError(UNKNOWN, "nothing was asked of the network by this call", AGAIN)
    raise CommandError(UNKNOWN, f"still open: {state.replace('_', ' ')}", AGAIN)


def ask_node(site: "Site", node: str, **arguments: Any) -> dict[str, Any]:
    """Ask the first node of this machine that answers for a charge; raises CommandError."""
    from qianzhi.cli.daemons import folder_of_sockets
    from qianzhi.runtime.admin import AdminError, ask

    folder, said = folder_of_sockets(site), []
    for name in [node] if node else site.nodes:
        path = folder / f"{name}.sock"
        if not path.exists():
            said.append(f"{name} does not run here")
            continue
        try:
            return ask(path, "charge", timeout_seconds=CHARGE_SECONDS, **arguments)
        except AdminError as error:
            raise CommandError(UNREACHABLE, f"{name}: {error}", AGAIN) from error
    raise CommandError(UNREACHABLE, "; ".join(said), "start it with `qianzhi --site networks run`")
