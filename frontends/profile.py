"""A bank's profile, assembled from its file, its message spec and its site: the one place where this is done.

    config/banks/NAME.toml ─┐
    config/specs/SPEC.toml ─┼─▶ load_profile ─▶ Profile, or every problem at once
    [banks.NAME] of a site ─┘

From a profile come the daemon, the simulator and the command's bank side.  It holds references of keys and
never a key; `resolve_keys` gives those to who needs them.
"""

from collections.abc import Collection
from collections.abc import Mapping as Table
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from frontends.hours import Hours
from frontends.limits import Limits
from frontends.mapping import Content, Mapping, Refusal
from frontends.mapping_rows import Matcher, Message, matcher_of
from frontends.outward_mapping import OutwardMapping, space_of
from frontends.profile_checks import cross_problems, mapping_tables, profile_problems
from frontends.profile_rehearsal import rehearse
from frontends.profile_tables import BankTable, KeysTable, ReversalTable, SessionTable, TransportTable
from frontends.results import Results
from frontends.session_dates import NOTICE
from qianzhi.domain.results import Result
from qianzhi.link.maintenance import Window, windows_of
from qianzhi.link.tables import Site
from qianzhi.runtime.problems import ConfigError, Problem
from qianzhi.runtime.secrets import resolve_key
from qianzhi.runtime.settings import build_known, read_toml
from qianzhi.wire.codec import Codec, load_codec
from qianzhi.wire.framing import FrameSpec
from qianzhi.wire.mac import MacSpec
from socket_pool.limits import SocketLimits

UNPROVED = frozenset({Result.BAD_MAC, Result.NOT_SIGNED_ON})


@dataclass(frozen=True)
class Profile:
    """One bank, ready for use; see `profile_tables` for what each table says."""

    name: str
    file: str
    title: str
    pattern: str
    space: str
    numbers: list[str]
    group: str
    engine: str
    instances: int
    transport: TransportTable
    socket: SocketLimits | None
    frame: FrameSpec
    codec: Codec
    spec: dict[str, Any] = field(repr=False)
    mac: MacSpec | None
    keys: KeysTable
    session: SessionTable
    mapping: Mapping
    outward: OutwardMapping | None
    results: Results
    limits: Limits
    hours: Hours
    maintenance: tuple[Window, ...]
    reversal: ReversalTable
    table: BankTable = field(repr=False)
    protected: tuple[Matcher, ...] = field(repr=False)

    @property
    def keeps_rows(self) -> bool:
        """Tell whether its session has anything to keep: sign-on, exchanged keys, serials of our own."""
        return self.has_session or self.session.echo_seconds > 0

    @property
    def has_session(self) -> bool:
        """Tell whether who is signed on, which key or which business date is in force changes by messages."""
        rules = self.session
        return rules.sign_on or rules.keys in ("ours", "theirs") or rules.cutover == NOTICE

    @property
    def shares_rows(self) -> bool:
        """Tell whether another instance may change what a frame of the bank is judged on."""
        return self.instances > 1 and self.has_session

    def mac_required(self, message: Message) -> bool:
        """Tell whether this message, of either direction, must carry a right MAC."""
        for when in self.protected:  # noqa: SIM110  asked of every message, and a generator costs more
            if when.fits(message):
                return True
        return False

    def blocks_first(self, refusal: Refusal) -> bool:
        """Tell whether the key must be blocked at the core before this refusal is answered (money rule 8).

        On a socket that is so unless the code invites the bank to send the serial again; on a queue always,
        since a redelivery may follow any crash.  A message that nobody proved to be the bank's never blocks a
        key.
        """
        if not refusal.moves_money or refusal.result in UNPROVED:
            return False
        return self.transport.redelivers or not self.results.may_repeat(refusal.result)


def load_profile(
    config: Path, name: str, site: Site | None = None, *, rehearsed: bool = True, with_keys: bool = True
) -> tuple[Profile | None, list[Problem]]:
    """Read one bank's profile as a site uses it; return it, or None and everything that is wrong with it.

    Without a site the profile stands alone: its own group, Shanghai time, test keys allowed, groups not
    checked.  `rehearsed` false leaves the last check out, for whoever only looks at a bank's limits;
    `with_keys` false follows no key reference, for whoever uses no key.
    """
    file = str(config / "banks" / f"{name}.toml")
    try:
        tree = read_toml(Path(file))
    except ConfigError as error:
        return None, error.problems
    bank, problems = build_known(BankTable, tree, file)
    spec, spec_file, spec_problems = _spec_of(config, tree, file)
    codec, codec_problems = _codec_of(spec, spec_file, file)
    problems = problems + spec_problems + codec_problems
    if bank is None:
        return None, problems
    problems = problems + profile_problems(bank, codec, file, config if with_keys else None, site, name)
    if problems or codec is None or spec is None:
        return None, problems
    profile = _assemble(bank, codec, spec, file, name, site)
    problems = rehearse(profile) if rehearsed else []
    return (None if problems else profile), problems


def load_profiles(
    config: Path, site: Site | None, rehearsed: Collection[str] | None = None
) -> tuple[dict[str, Profile], list[Problem]]:
    """Read the profiles of all banks of a site and check them against each other.

    The profiles that stand alone are returned even where there are problems, so that a command can go on
    looking.  Without a site that can be read, every file of banks/ is looked at as it stands alone.
    `rehearsed` names the banks whose messages are rehearsed; None means all.
    """
    profiles: dict[str, Profile] = {}
    problems: list[Problem] = []
    names = sorted(path.stem for path in (config / "banks").glob("*.toml")) if site is None else site.banks
    for name in names:
        wanted = rehearsed is None or name in rehearsed
        profile, found = load_profile(config, name, site, rehearsed=wanted)
        problems += found
        if profile is not None:
            profiles[name] = profile
    problems += cross_problems([claim for name in names for claim in _claims(config, name)])
    return profiles, problems


def _claims(config: Path, name: str) -> list[tuple[str, str, list[str]]]:
    """Return a bank's (file, serial space, bank numbers), as far as a file with other faults says them."""
    path = config / "banks" / f"{name}.toml"
    try:
        tree = read_toml(path)
    except ConfigError:
        return []  # said already
    space, numbers = tree.get("space"), tree.get("numbers")
    known = [number for number in numbers if isinstance(number, str)] if isinstance(numbers, list) else []
    claims = [(str(path), space if isinstance(space, str) and space else name, known)]
    outward = tree.get("outward")
    if isinstance(outward, dict):
        own = outward.get("space")
        claims.append((str(path), own if isinstance(own, str) and own else f"{name}-out", []))
    return claims


def resolve_keys(profile: Profile, config: Path, *, production: bool) -> dict[str, bytes]:
    """Return the keys that the profile's references name, as {"master": …, "mac": …}, if not empty.

    Raises KeyReferenceError, which never shows a key.
    """
    references = {"master": profile.keys.master, "mac": profile.keys.mac}
    return {
        name: resolve_key(reference, production=production, base=config)
        for name, reference in references.items()
        if reference
    }


def _spec_of(
    config: Path, tree: Table[str, Any], file: str
) -> tuple[dict[str, Any] | None, str, list[Problem]]:
    """Return a bank's message spec with its changes, and the file to be named in the spec's problems.

    It is found even for a bank's file that has other faults, so that all of them are told at once.
    """
    message = tree.get("message", {})
    name = message.get("spec", "") if isinstance(message, dict) else None
    own, change = tree.get("spec"), message.get("change") if isinstance(message, dict) else None
    if not isinstance(name, str) or (own is not None and not isinstance(own, dict)):
        return None, file, []  # the file's own problem says so
    changes = change if isinstance(change, dict) else {}
    if own and not name:
        return {**own, **changes}, file, []
    path = config / "specs" / f"{name}.toml"
    if own or not name.isidentifier() or not path.is_file():
        found = f"{name!r} beside a table [spec]" if own else repr(name)
        expected = f"the name of a file in {path.parent}, or a table [spec] in this file"
        return None, file, [Problem(file, "message.spec", found, expected)]
    try:
        return {**read_toml(path), **changes}, str(path), []
    except ConfigError as error:
        return None, file, error.problems


def _codec_of(spec: dict[str, Any] | None, spec_file: str, file: str) -> tuple[Codec | None, list[Problem]]:
    """Compile a spec; the keys of one that stands in the bank's own file are told under [spec]."""
    if spec is None:
        return None, []
    codec, problems = load_codec(spec, spec_file)
    if spec_file == file:
        problems = [problem._replace(key=f"spec.{problem.key}") for problem in problems]
    return codec, problems


def _assemble(
    bank: BankTable, codec: Codec, spec: dict[str, Any], file: str, name: str, site: Site | None
) -> Profile:
    place = site.banks.get(name) if site else None
    results = Results(bank.results)
    space = bank.space or name
    content = Content(space, name, tuple(bank.numbers), bank.limits.amount_fen_max)
    zone = ZoneInfo(site.timezone if site else "Asia/Shanghai")
    return Profile(
        name=name,
        file=file,
        title=bank.title,
        pattern=bank.pattern,
        space=space,
        numbers=bank.numbers,
        group=(place.group if place else "") or bank.group,
        engine=(place.engine if place else "") or bank.transport.engine,
        instances=place.instances if place else 1,
        transport=bank.transport,
        socket=replace(bank.socket, allow=place.allow)
        if bank.socket and place and place.allow
        else bank.socket,
        frame=bank.frame,
        codec=codec,
        spec=spec,
        mac=bank.mac,
        keys=bank.keys,
        session=bank.session,
        mapping=Mapping(mapping_tables(bank), content, results, zone),
        outward=OutwardMapping(
            bank.outward,
            mapping_tables(bank),
            content._replace(space=space_of(name, bank.outward)),
            results,
            zone,
        )
        if bank.outward is not None
        else None,
        results=results,
        limits=bank.limits,
        hours=bank.hours,
        maintenance=windows_of(site.maintenance, name) if site else (),
        reversal=bank.reversal,
        table=bank,
        protected=tuple(map(matcher_of, bank.protection.required)),
    )
