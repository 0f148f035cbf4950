"""What `qianzhi run` has checked needs no second check in each daemon that it starts and each later command.

The whole check takes seconds of a processor, and a site has dozens of daemons.  `run` leaves a fingerprint
of all that the check read, and of the code that checked, in its data folder; who finds the same one rehearses
nothing again, and a bank's daemon looks only at what is its own.  One byte changed anywhere, and everything
is checked again.
"""

import hashlib
import os
from pathlib import Path

FILE = "checked"
READ = ("banks", "specs", "parsers")  # beside the site's own file
CODE = ("qianzhi", "frontends", "crm_bridge", "interface_layer", "bankmq", "socket_pool")


def fingerprint(config: Path, site_file: Path) -> str:
    """Return a digest of the configuration's files and of the code that reads them."""
    digest = hashlib.sha256()
    files = [site_file, *(path for name in READ for path in sorted((config / name).glob("*.toml")))]
    for path in files:
        try:
            content = path.read_bytes()
        except OSError:
            content = b""
        digest.update(f"{path.parent.name}/{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    root = Path(__file__).parents[2]
    for name in CODE:
        for folder, _, names in sorted(os.walk(root / name)):
            for path in sorted(Path(folder, each) for each in names if each.endswith(".py")):
                seen = path.stat()
                digest.update(f"{path}\0{seen.st_size}\0{seen.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def note(data: Path, digest: str) -> None:
    """Keep what was checked and found well; a half of it equals nothing, so a daemon checks for itself."""
    (data / "run").mkdir(parents=True, exist_ok=True)
    (data / "run" / FILE).write_text(digest, encoding="ascii")


def is_noted(data: Path, digest: str) -> bool:
    """Tell whether exactly this was checked and found well."""
    try:
        return (data / "run" / FILE).read_text(encoding="ascii") == digest
    except (OSError, UnicodeDecodeError):
        return False
