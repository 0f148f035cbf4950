"""What an operator may say to the admin sockets of the running daemons without harming them."""

from typing import Any

import pytest

from qianzhi.runtime.admin import AdminError, ask

STRANGE: list[dict[str, Any]] = [
    {"draining": "no"},
    {"": None},
    {"name": [{}]},
    {"n": 10**400},
    {"_": "\ud800"},
]


def test_no_admin_command_takes_arguments_that_it_does_not_know(system: Any) -> None:
    before = {name: status["pid"] for name, status in system.ask("status").items()}
    assert len(before) == 3 + len(system.site()["banks"])
    for name in before:
        path = system.data / "run" / f"{name}.sock"
        with pytest.raises(AdminError, match="known are") as refusal:
            ask(path, "")
        commands = str(refusal.value).rpartition("known are ")[2].split(", ")
        assert {"status", "drain", "stand_by", "undrain"} <= set(commands)
        for command in commands:
            for arguments in STRANGE:
                with pytest.raises(AdminError, match="arguments"):
                    ask(path, command, **arguments)
    assert {name: status["pid"] for name, status in system.ask("status").items()} == before
