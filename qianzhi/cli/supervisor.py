"""supervisor.d/ as rendered from the configuration: a program per daemon; a group per bank, node and bridge.

supervisor restarts a whole group at once, so a bank's group holds that bank's daemons and nothing else.
Every path is written from `%(here)s`, the folder that holds the files, so that a tree may be moved.
supervisor's own socket is a UNIX socket; there is no network server.  Nothing is started here.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

STOP_SECONDS = 25  # longer than a daemon gives itself to drain
HEADER = "; Rendered by `qianzhi supervisor render` from the configuration: edit that, then render again.\n"


class Program(NamedTuple):
    """One daemon as supervisor runs it; lower `priority` starts earlier and stops later."""

    name: str
    group: str
    priority: int


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where things lie: `here` the folder of the rendered files, `work` the daemons' working folder."""

    here: Path
    work: Path
    config: Path
    data: Path
    command: tuple[str, ...]  # a path comes first; words that begin with a slash are written from `here`
    site: str = ""


def render(layout: Layout, programs: list[Program]) -> dict[str, str]:
    """Return the text of every file of the folder, by file name."""
    files = {"supervisord.conf": main_file(layout, programs)}
    for program in programs:
        files[f"{program.name}.conf"] = program_file(layout, program)
    return files


def main_file(layout: Layout, programs: list[Program]) -> str:
    """Return supervisord.conf: its own files, the groups, and the programs that it includes."""
    log, run = from_here(layout, layout.data / "log"), from_here(layout, layout.data / "run")
    text = f"""{HEADER}
[supervisord]
logfile={log}/supervisord.log
logfile_maxbytes=20MB
logfile_backups=5
pidfile={run}/supervisord.pid
childlogdir={log}
umask=027

[unix_http_server]
file={run}/supervisor.sock
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{run}/supervisor.sock

[include]
files={" ".join(f"{program.name}.conf" for program in programs)}
"""
    groups = dict.fromkeys(program.group for program in programs)
    return text + "".join(group_section(group, programs) for group in groups)


def group_section(group: str, programs: list[Program]) -> str:
    """Return the section that names a group's programs."""
    members = [program for program in programs if program.group == group]
    names = ",".join(program.name for program in members)
    return f"\n[group:{group}]\nprograms={names}\npriority={members[0].priority}\n"


def program_file(layout: Layout, program: Program) -> str:
    """Return one daemon's file.

    Whatever ends it, it is started again, as often as it takes: a daemon that cannot start says why in its
    log, and a bank that stays away because its neighbour was away for a minute would be worse.
    """
    words = [*layout.command, "--config", str(layout.config.absolute())]
    words += ["--site", layout.site] if layout.site else []
    command = " ".join(word_from_here(layout, word) for word in [*words, "daemon", program.name])
    return f"""{HEADER}
[program:{program.name}]
command={command}
directory={from_here(layout, layout.work)}
priority={program.priority}
autostart=true
autorestart=true
startsecs=1
startretries=1000000
stopsignal=TERM
stopwaitsecs={STOP_SECONDS}
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile={from_here(layout, layout.data / "log")}/{program.name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=5
"""


def from_here(layout: Layout, path: Path) -> str:
    """Write a path as `%(here)s/..`, with the percent signs of its own doubled as supervisor wants them."""
    relative = os.path.relpath(path.absolute(), layout.here.absolute())
    return "%(here)s/" + relative.replace("%", "%%")


def word_from_here(layout: Layout, word: str) -> str:
    """Quote one word of a command; a path is written from `here`."""
    if word.startswith("/"):
        return f'"{from_here(layout, Path(word))}"'
    return word if word.replace("-", "").replace("_", "").replace(".", "").isalnum() else f'"{word}"'


def differences(folder: Path, files: dict[str, str]) -> list[str]:
    """Say which files of a folder are missing, differ from the rendering, or belong to no daemon any more."""
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.conf")}
    missing = [f"{name} is missing" for name in files if name not in found]
    other = [f"{name} differs" for name, text in files.items() if name in found and found[name] != text]
    return missing + other + [f"{name} belongs to no daemon" for name in sorted(set(found) - set(files))]


def write(folder: Path, files: dict[str, str]) -> None:
    """Write the rendering and remove what belongs to no daemon any more."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.conf"):
        if path.name not in files:
            path.unlink()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
