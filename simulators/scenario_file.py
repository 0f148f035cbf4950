"""Reads scenario files: those that come with the product by name, any other by path."""

from pathlib import Path

from qianzhi.runtime.problems import ConfigError, Problem
from qianzhi.runtime.settings import build, read_toml
from simulators.scenario import Scenario, check_scenario

FOLDER = Path(__file__).parent / "scenarios"
DEFAULT = "default"


def load_scenario(name: str = DEFAULT) -> Scenario:
    """Read a scenario by name (`default`) or path (`my/day.toml`); raises ConfigError with all faults."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(scenario_names())
        raise ConfigError([Problem(str(path), "", "no such file", f"a path, or one of {known}")])
    scenario, problems = build(Scenario, read_toml(path), str(path))
    if scenario is not None:
        problems = problems + check_scenario(scenario, str(path))
    if scenario is None or problems:
        raise ConfigError(problems)
    return scenario


def scenario_names() -> list[str]:
    """Return the names of the scenarios that come with the product."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))
