"""Has a hot part of the path become dearer?  Instructions, counted by callgrind, against recorded ones.

    python check_speed.py [--form compiled,pure]           names each part that grew by more than 15 %
    python check_speed.py --record                         records what is counted now, in recorded.json

Times say little on a shared machine; instructions of one and the same work hardly move.  The counting is
turned on around each part alone (`parts.py`, `counting.c`), so that starting and importing are not in it.
What was recorded under another Python or on another kind of processor is compared all the same, and said to
be so.
Exit code 1 when a part grew, 2 when nothing can be counted.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from load import RESULTS, compiled

RECORDED = Path(__file__).with_name("recorded.json")
PARTS = Path(__file__).with_name("parts.py")
COUNTING = Path(__file__).with_name("counting.c")
HEADER = Path("/usr/include/valgrind/callgrind.h")
GROWN = 1.15
FORMS = {"compiled": "0", "pure": "1"}


def require() -> None:
    """Raise SystemExit (2) naming the package where valgrind or its header is missing."""
    if shutil.which("valgrind") is None or not HEADER.exists():
        print(
            "check-speed counts with valgrind, which is missing here: apt-get install valgrind",
            file=sys.stderr,
        )
        raise SystemExit(2)


def counted(form: str) -> dict[str, int]:
    """Return instructions for one request of each part, in a form of the codec; raises SystemExit."""
    library = compiled(COUNTING, "-shared", "-fPIC")
    with tempfile.TemporaryDirectory(prefix="qianzhi-count-") as folder:
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "-q"]
        command += [f"--callgrind-out-file={folder}/out", sys.executable, str(PARTS), str(library)]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "QIANZHI_PURE": FORMS[form]}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"the parts could not be counted:\n{done.stderr[-2000:]}")
        requests = int(done.stdout.split()[-1])
        return {name: total // requests for name, total in sorted(dumps(Path(folder)))}


def dumps(folder: Path) -> list[tuple[str, int]]:
    """Return (part, instructions) of what callgrind wrote down."""
    found = []
    for path in folder.iterdir():
        text = path.read_text(encoding="utf-8", errors="replace")
        name = re.search(r"^desc: Trigger: Client Request: (.+)$", text, re.MULTILINE)
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
        if name and total:
            found.append((name[1].strip(), int(total[1])))
    return found


def here() -> dict[str, str]:
    """Return what a count depends on besides the code."""
    return {"python": platform.python_version(), "machine": platform.machine()}


def compared(form: str, now: dict[str, int], before: dict[str, int]) -> list[str]:
    """Show each part beside its recorded count; return those that grew too much."""
    grown = []
    print(f"{form}: instructions for one request")
    for name, count in now.items():
        was = before.get(name)
        change = f"{100 * (count / was - 1):+6.1f} %" if was else "   new"
        print(f"  {name:16} {count:9}  recorded {was or '-':>9}  {change}")
        if was and count > was * GROWN:
            grown.append(f"{form} {name}: {was} → {count} instructions ({change.strip()})")
    gone = sorted(set(before) - set(now))
    return grown + [f"{form} {name}: recorded, and not counted any more" for name in gone]


def main() -> int:
    """Count, and compare or record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--form", default=",".join(FORMS))
    given = parser.parse_args()
    require()
    found = {form: counted(form) for form in given.form.split(",")}
    recorded: dict[str, Any] = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    grown = [line for form, now in found.items() for line in compared(form, now, recorded.get(form, {}))]
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "check_speed.json").write_text(json.dumps(here() | found, indent=1) + "\n")
    if given.record:
        RECORDED.write_text(json.dumps(recorded | here() | found, indent=1) + "\n")
        print(f"check-speed: recorded in {RECORDED.name}")
        return 0
    if any(recorded.get(name) != value for name, value in here().items()):
        print("the recorded counts are another Python's or another machine's; `--record` renews them")
    for line in grown:
        print(f"GREW: {line}")
    print("check-speed: " + (f"{len(grown)} parts grew by more than 15 %" if grown else "no part grew"))
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
