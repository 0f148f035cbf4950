"""The wheel: it holds the listed packages and nothing else, and the command works where it is installed."""

import configparser
import shutil
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOUSE = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")


def listed_packages() -> list[str]:
    """The packages that setup.cfg lists."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser["options"]["packages"].split()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tree so that nothing of an earlier build gets in."""
    folder = tmp_path_factory.mktemp("source")
    for name in HOUSE:
        shutil.copy(ROOT / name, folder / name)
    for name in sorted({package.partition(".")[0] for package in listed_packages()}):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    (folder / "qianzhi" / "unlisted").mkdir()
    (folder / "qianzhi" / "unlisted" / "__init__.py").write_text("", encoding="utf-8")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (built,) = (folder / "dist").glob("*.whl")
    return built


def test_the_wheel_holds_the_listed_packages_and_nothing_else(wheel: Path) -> None:
    wanted = set()
    for package in listed_packages():
        folder = ROOT / package.replace(".", "/")
        wanted |= {str(path.relative_to(ROOT)) for path in folder.glob("*.py")}
        wanted |= {str(path.relative_to(ROOT)) for path in folder.glob("py.typed")}
    wanted |= {str(path.relative_to(ROOT)) for path in (ROOT / "simulators/scenarios").glob("*.toml")}
    dialects = (ROOT / "simulators/world/dialects").rglob("*.toml")
    wanted |= {str(path.relative_to(ROOT)) for path in dialects}
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if ".dist-info/" not in name} == wanted
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_command_works_in_an_empty_virtualenv(wheel: Path, tmp_path: Path) -> None:
    """Dependencies are not downloaded again: the empty virtualenv sees those of this one through a .pth file.

    This one's own (editable) qianzhi is not seen with them, because .pth files do not count in such a folder.
    """
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True, timeout=120)
    python = place / "bin" / "python"
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    (packages,) = (place / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    where = [str(python), "-c", "import qianzhi.cli.main as module; print(module.__file__)"]
    found = subprocess.run(where, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert found.stdout.startswith(str(packages))
    for words in (["--help"], ["version"]):
        run = [str(place / "bin" / "qianzhi"), *words]
        shown = subprocess.run(run, capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60)
        assert "qianzhi" in shown.stdout
