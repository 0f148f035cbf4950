"""The whole configuration, checked before anything starts: site, core, every bank's profile and spec.

All problems are found in one go.  What one file can say of itself, its own package says; here stands what
only the whole can say: two banks that claim one number, key references that lead nowhere, socket paths too
long.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qianzhi.cli.checked_before import fingerprint, is_noted
from qianzhi.cli.tls_checks import tls_problems
from qianzhi.runtime.problems import ConfigError, Problem

if TYPE_CHECKING:
    from crm_bridge.settings import CoreSettings
    from frontends.profile import Profile
    from qianzhi.link.tables import Site

SOCKET_PATH_BYTES_MAX = 107  # sun_path of Linux, less its closing NUL


@dataclass
class Checked:
    """What a configuration holds and what is wrong with it; incomplete where there are problems."""

    site: "Site | None" = None
    core: "CoreSettings | None" = None
    profiles: "dict[str, Profile]" = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    digest: str = ""  # of the files as they stood before they were read


def check(config: Path, site_name: str = "", daemon: str = "", *, noted: bool = False) -> Checked:
    """Read and check all of a configuration; never raises for what its files may contain.

    For one daemon only its own bank's messages are rehearsed: the others' are their daemons' business, and a
    site of many banks would pay for all of them in each of its daemons.  With `noted`, what `qianzhi run` has
    found well in the same files is not looked for again: nothing is rehearsed, and a bank's daemon leaves the
    other banks out altogether.
    """
    from frontends.profile import load_profiles
    from qianzhi.link.site import data_folder, fronts, look_at_site, site_file

    digest = fingerprint(config, site_file(config, site_name or None))
    site, problems_of_site = look_at_site(config, site_name or None)
    found = Checked(site=None if problems_of_site else site, problems=list(problems_of_site), digest=digest)
    own = {bank for name, bank, _, _ in fronts(site) if name == daemon} if site and daemon else None
    known = noted and found.site is not None and is_noted(data_folder(found.site), digest)
    if known and own and site is not None:
        found.profiles, problems = load_own(config, site, own)
    else:
        found.problems += [] if known else spec_problems(config)
        found.profiles, problems = load_profiles(config, site, () if known else own)
    found.problems += problems
    if site is not None:
        check_core(found, site)
        if found.core is not None and (not daemon or daemon in site.bridges):
            found.problems += password_problems(found.core, site)
        if found.core is not None:
            found.problems += late_dates(found.core, site, found.profiles)
        if not any(problem.key == "site.key" for problem in problems_of_site):
            found.problems += key_problems(site, config)
        found.problems += socket_problems(site)
        found.problems += tls_problems(site, found.profiles, config, daemon)
    found.problems = list(dict.fromkeys(found.problems))
    return found


def require(config: Path, site_name: str = "", daemon: str = "") -> "tuple[Checked, Site]":
    """Check a configuration as `check` does, what is noted left out; raises ConfigError with every problem
    when there is one.
    """
    found = check(config, site_name, daemon, noted=True)
    if found.problems or found.site is None:
        raise ConfigError(found.problems)
    return found, found.site


def load_own(
    config: Path, site: "Site", banks: Collection[str]
) -> "tuple[dict[str, Profile], list[Problem]]":
    """Load a daemon's own banks from files that were checked before; what they name is looked at again."""
    from frontends.profile import load_profile

    loaded = {name: load_profile(config, name, site, rehearsed=False) for name in banks}
    profiles = {name: profile for name, (profile, _) in loaded.items() if profile is not None}
    return profiles, [problem for _, problems in loaded.values() for problem in problems]


def spec_problems(config: Path) -> list[Problem]:
    """Build every message spec of config/specs, whether a bank of this site uses it or not."""
    from qianzhi.runtime.settings import read_toml
    from qianzhi.wire.codec import load_codec

    problems: list[Problem] = []
    for path in sorted((config / "specs").glob("*.toml")):
        try:
            problems += load_codec(read_toml(path), str(path))[1]
        except ConfigError as error:
            problems += error.problems
    return problems


def check_core(found: Checked, site: "Site") -> None:
    """Build the core's own table of the site."""
    from crm_bridge.settings import CoreSettings, problems
    from qianzhi.runtime.settings import build

    found.core, wrong = build(CoreSettings, dict(site.core), site.file, "core")
    found.problems += wrong
    if found.core is not None:
        found.problems += problems(found.core, site.file)
        found.problems += remote_problems(found.core, site)


def late_dates(core: "CoreSettings", site: "Site", profiles: "dict[str, Profile]") -> list[Problem]:
    """A date must not be closed while a front-end may still give it to what carries none.

    A new request under such a date would be refused after its fence, though its bank is in time.
    """
    from frontends.session_dates import CLOCKS_MINUTES, may_be_late

    ours = {name: profile for name, profile in profiles.items() if not profile.table.dated}
    late = sorted(name for name, profile in ours.items() if may_be_late(profile.session.cutover))
    needed = max((may_be_late(profiles[name].session.cutover) for name in late), default=0) + CLOCKS_MINUTES
    if not late or core.fence_minutes >= needed:
        return []
    expected = f"{needed} at least, as {', '.join(late)} may give yesterday's date after midnight"
    return [Problem(site.file, "core.fence_minutes", str(core.fence_minutes), expected)]


def remote_problems(core: "CoreSettings", site: "Site") -> list[Problem]:
    """Find what a remote core's table names and the site has not: a protection, a token."""
    from qianzhi.link.protection import config_folder
    from qianzhi.runtime.secrets import KeyReferenceError, resolve_password

    problems = []
    remote = core.remote
    if remote is not None and remote.tls and remote.tls not in site.tls:
        expected = f"one of {', '.join(sorted(site.tls)) or 'none'}"
        problems.append(Problem(site.file, "core.remote.tls", repr(remote.tls), expected))
    if remote is not None and remote.token:
        try:
            resolve_password(remote.token, production=site.production, base=config_folder(site))
        except KeyReferenceError as error:
            found = "a reference that gives no token"
            problems.append(Problem(site.file, "core.remote.token", found, error.expected))
    return problems


def password_problems(core: "CoreSettings", site: "Site") -> list[Problem]:
    """Resolve the bridges' password, which their own machines need; an owner's or auditor's may lie on the
    operator's alone.
    """
    from qianzhi.link.protection import config_folder
    from qianzhi.runtime.secrets import KeyReferenceError, resolve_password

    if not core.password:
        return []
    try:
        resolve_password(core.password, production=site.production, base=config_folder(site))
    except KeyReferenceError as error:
        found = "a reference that gives no password"
        return [Problem(site.file, "core.password", found, error.expected)]
    return []


def key_problems(site: "Site", config: Path) -> list[Problem]:
    """Resolve the link key, so that a reference that leads nowhere is known before a daemon needs it."""
    from qianzhi.runtime.secrets import KeyReferenceError, resolve_key

    try:
        resolve_key(site.key, production=site.production, base=config)
    except KeyReferenceError as error:
        return [Problem(site.file, "site.key", "a reference that gives no key", error.expected)]
    return []


def socket_problems(site: "Site") -> list[Problem]:
    """Find data folders so deep that a daemon's admin socket could not be bound."""
    from qianzhi.link.site import daemon_names, data_folder

    folder = data_folder(site) / "run"
    paths = [folder / f"{name}.sock" for name in ["supervisor", *daemon_names(site)]]
    longest = max(paths, key=lambda path: len(bytes(path)))
    if len(bytes(longest)) <= SOCKET_PATH_BYTES_MAX:
        return []
    found = f"a folder that makes socket paths of {len(bytes(longest))} bytes"
    return [Problem(site.file, "site.data", found, f"paths of at most {SOCKET_PATH_BYTES_MAX} bytes")]
