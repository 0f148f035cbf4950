"""The Debian packages whose programs the private servers are; what is missing is named with its remedy.

Nothing is installed by itself but as root in continuous integration, or where QIANZHI_INSTALL=1 asks for it;
the services of those packages are never started.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

POSTGRES_ROOT = Path("/usr/lib/postgresql")
RABBIT_ROOT = Path("/usr/lib/rabbitmq/bin")
RABBIT_HEADERS = [Path("/usr/include/rabbitmq-c/amqp.h"), Path("/usr/include/amqp.h")]
FAKETIME = "*/faketime/libfaketimeMT.so.1"
OPENSSL_HEADER = Path("/usr/include/openssl/evp.h")
WAITING = ("-o", "DPkg::Lock::Timeout=300")  # for whoever else installs here
NO_SERVICES = "#!/bin/sh\nexit 101\n"  # what a package's installation asks before it starts a service


class PackagesMissing(Exception):  # noqa: N818  it is a state of the machine
    """Programs are not here; the text is the command that brings them."""


def postgres_folder() -> Path | None:
    """Return the folder of the newest PostgreSQL's programs; they are not on PATH."""
    found = [path.parent for path in POSTGRES_ROOT.glob("*/bin/postgres")]
    return max(found, key=lambda path: float(path.parent.name), default=None)


def faketime_library() -> Path | None:
    """Return the library that lets one program see another time, for LD_PRELOAD."""
    return next(iter(sorted(Path("/usr/lib").glob(FAKETIME))), None)


def _has_rabbitmq() -> bool:
    return (RABBIT_ROOT / "rabbitmq-server").exists() and shutil.which("epmd") is not None


WHETHER: dict[str, Callable[[], bool]] = {
    "rabbitmq-server": _has_rabbitmq,
    "postgresql": lambda: postgres_folder() is not None,
    "haproxy": lambda: _sbin("haproxy") is not None,
    "gcc": lambda: shutil.which("gcc") is not None,
    "librabbitmq-dev": lambda: any(path.exists() for path in RABBIT_HEADERS),
    "libssl-dev": OPENSSL_HEADER.exists,
    "iproute2": lambda: _sbin("ip") is not None,
    "libfaketime": lambda: faketime_library() is not None,
}


def missing(packages: Iterable[str]) -> list[str]:
    """Return those of some packages whose programs are not here."""
    return [name for name in packages if not WHETHER[name]()]


def require(*packages: str) -> None:
    """Make sure that packages are here: install them where that is allowed, else raise PackagesMissing."""
    if _may_install():
        with _alone():  # of several processes of tests one installs; the others wait until all is there
            if missing(packages):
                _install(missing(packages))
    wanted = missing(packages)
    if wanted:
        sudo = "" if os.geteuid() == 0 else "sudo "
        raise PackagesMissing(f"missing here; install it: {sudo}apt-get install {' '.join(wanted)}")


def program(name: str) -> str:
    """Return a program's path; raises PackagesMissing."""
    found = _sbin(name)
    if found is None:
        raise PackagesMissing(f"the program {name} is missing here")
    return found


def postgres_programs() -> Path:
    """Return the folder of PostgreSQL's programs; raises PackagesMissing."""
    require("postgresql")
    found = postgres_folder()
    if found is None:
        raise PackagesMissing("PostgreSQL is missing here")
    return found


def _sbin(name: str) -> str | None:
    """Look beyond a user's PATH, which often lacks the folders of administration."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def _may_install() -> bool:
    asked = os.environ.get("CI") == "true" or os.environ.get("QIANZHI_INSTALL") == "1"
    return asked and os.geteuid() == 0 and shutil.which("apt-get") is not None


@contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other process installs for us, and keep others from it."""
    with Path(tempfile.gettempdir(), "qianzhi-install.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(packages: list[str]) -> None:
    """Install, with a policy in front of the service starter that refuses every start."""
    policy = Path("/usr/sbin/policy-rc.d")
    own = not policy.exists()
    if own:
        with tempfile.NamedTemporaryFile("w", dir=policy.parent, delete=False) as file:
            file.write(NO_SERVICES)
        Path(file.name).chmod(0o755)
        Path(file.name).rename(policy)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        for arguments in (("update",), ("install", "-y", "--no-install-recommends", *packages)):
            subprocess.run(  # noqa: S603  fixed words and our own table's names
                ["/usr/bin/apt-get", "-q", *WAITING, *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                check=True,
            )
    finally:
        if own:
            policy.unlink()
