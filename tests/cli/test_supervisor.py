"""supervisor.d/ as rendered: equal to what is committed, read by supervisor, a group per bank and node."""

import shlex
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from qianzhi.cli.chosen import Chosen
from qianzhi.cli.daemons import layout_of, programs_of, site_of
from qianzhi.cli.supervisor import Layout, Program, differences, render, write

ROOT = Path(__file__).parents[2]


def read_by_supervisor(folder: Path) -> ServerOptions:
    """Let supervisor's own reader take the files."""
    options = ServerOptions()
    options.realize(["-c", str(folder / "supervisord.conf")])
    return options


def test_the_committed_files_equal_the_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    chosen = Chosen(Path("config"))
    site = site_of(chosen)
    command = (str(ROOT / ".venv/bin/qianzhi"),)
    files = render(layout_of(chosen, site, Path("supervisor.d"), command), programs_of(site))
    assert differences(Path("supervisor.d"), files) == []


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    """A rendering of two banks, one with two daemons, in a folder whose name has a space."""
    work = tmp_path / "a place"
    layout = Layout(
        here=work / "supervisor.d",
        work=work,
        config=work / "config",
        data=work / "var",
        command=(str(work / "bin" / "qianzhi"),),
        site="north",
    )
    programs = [
        Program("bridge1", "bridge1", 10),
        Program("front-hz_citic-1", "bank-hz_citic", 30),
        Program("front-hz_citic-2", "bank-hz_citic", 30),
        Program("front-icbc-1", "bank-icbc", 30),
    ]
    for folder in ("var/log", "var/run"):
        (work / folder).mkdir(parents=True)
    write(layout.here, render(layout, programs))
    return layout.here


def test_supervisor_reads_a_group_per_bank_and_paths_from_where_the_files_are(rendered: Path) -> None:
    options = read_by_supervisor(rendered)
    found = options.process_group_configs
    groups = {group.name: [process.name for process in group.process_configs] for group in found}
    assert groups == {
        "bridge1": ["bridge1"],
        "bank-hz_citic": ["front-hz_citic-1", "front-hz_citic-2"],
        "bank-icbc": ["front-icbc-1"],
    }
    work = rendered.parent
    process = options.process_group_configs[-1].process_configs[0]
    words = shlex.split(process.command)
    assert [Path(words[0]).resolve(), *words[1:2]] == [work / "bin" / "qianzhi", "--config"]
    assert Path(words[2]).resolve() == work / "config"
    assert words[3:5] == ["--site", "north"]
    assert words[5] == "daemon"
    assert Path(process.directory).resolve() == work
    assert Path(process.stdout_logfile).resolve().parent == work / "var" / "log"


def test_supervisor_listens_on_a_unix_socket_only(rendered: Path) -> None:
    servers = read_by_supervisor(rendered).server_configs
    assert [server["section"] for server in servers] == ["unix_http_server"]


def test_a_daemon_that_went_away_loses_its_file(rendered: Path) -> None:
    text = (rendered / "bridge1.conf").read_text(encoding="utf-8")
    files = {"bridge1.conf": text + "; more\n", "node9.conf": "new"}
    assert differences(rendered, files)[:2] == ["node9.conf is missing", "bridge1.conf differs"]
    write(rendered, files)
    assert sorted(path.name for path in rendered.iterdir()) == ["bridge1.conf", "node9.conf"]
