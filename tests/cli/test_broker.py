"""`qianzhi broker` against a live broker: what it makes, shows and writes is what the banks' lines need."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from typer.testing import CliRunner

from qianzhi.cli.main import app
from qianzhi.cli.output import CommandError
from simulators.servers.rabbitmq import Broker

ROOT = Path(__file__).parent.parent.parent
Run = Callable[..., tuple[int, str]]


class Place:
    """A configuration whose site has two banks on a virtual host of the live broker."""

    def __init__(self, folder: Path, node: Broker) -> None:
        self.node = node
        self.vhost = node.new_vhost()
        self.config = folder / "config"
        self.config.mkdir()
        for part in ("banks", "specs"):
            (self.config / part).symlink_to(ROOT / "config" / part)
        self.write()

    def write(self, port: int = 0, password: str = "") -> None:
        """Write the site; another `port` or `password` than the broker's leads nowhere."""
        text = (ROOT / "config" / "site.toml").read_text(encoding="utf-8")
        head, _, _ = text.partition("[banks.hz_citic]")
        broker = f"""
[broker]
hosts = ["{self.node.host}:{port or self.node.port}"]
vhost = "{self.vhost}"
user = "{self.node.admin_user}"
password = "test:{password or self.node.admin_password}"
prefix = "qz."

[banks.icbc]
engine = "rabbitmq"
metrics_port = 17313
password = "test:secret-of-icbc"

[banks.boc]
engine = "rabbitmq"
metrics_port = 17333
"""
        (self.config / "site.toml").write_text(head + broker, encoding="utf-8")

    def run(self, *words: str) -> tuple[int, str]:
        """Run the command; return its exit code (as `main` would) and all that it says."""
        found = CliRunner().invoke(app, ["--config", str(self.config), "broker", *words])
        if isinstance(found.exception, CommandError):
            return found.exception.code, f"{found.output}{found.exception}"
        assert found.exception is None, found.exception
        return found.exit_code, found.output


@pytest.fixture
def place(tmp_path: Path, broker: Broker, reactor_thread: Any) -> Iterator[Place]:
    made = Place(tmp_path, broker)
    yield made
    broker.delete_vhost(made.vhost)


def test_declare_makes_what_status_then_counts_and_may_be_done_again(place: Place) -> None:
    code, said = place.run("status")
    assert code == 1
    assert "8 queues missing" in said
    for _ in range(2):
        code, said = place.run("declare")
        assert (code, "8 queues stand" in said) == (0, True)
    credentials = pika.PlainCredentials(place.node.admin_user, place.node.admin_password)
    parameters = pika.ConnectionParameters(place.node.host, place.node.port, place.vhost, credentials)
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("qz.boc.in", "qz.boc", b"x", mandatory=True)
        channel.basic_publish("qz.boc.in", "qz.boc.ctl", b"x", mandatory=True)
    code, said = place.run("status", "--json")
    found = json.loads(said)
    assert (code, found["state"], found["missing"]) == (0, "ready", [])
    assert {queue for queue, n in found["queues"].items() if n} == {"qz.boc", "qz.boc.ctl"}
    code, said = place.run("status")
    assert (code, "dead letters" in said) == (0, True)


def test_declare_says_when_a_queue_was_there_before_with_other_properties(place: Place) -> None:
    place.node.manage("PUT", f"/queues/{place.vhost}/qz.icbc", {"durable": True})
    code, said = place.run("declare")
    assert code == 1
    assert "not as declared: qz.icbc" in said


def test_the_users_file_is_what_the_broker_takes(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "users.json"
    code, said = place.run("users", "--write", str(file))
    assert code == 0
    assert "left as they are" in said
    assert "bank-boc" in said
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text(encoding="utf-8")
    assert "secret-of-icbc" not in text
    definitions = json.loads(text)
    assert [user["name"] for user in definitions["users"]] == [place.node.admin_user, "bank-icbc"]
    definitions["users"] = definitions["users"][1:]  # the tests' administrator stays one
    definitions["permissions"] = definitions["permissions"][1:]
    place.node.manage("POST", "/definitions", definitions)
    place.run("declare")
    login = pika.PlainCredentials("bank-icbc", "secret-of-icbc")
    parameters = pika.ConnectionParameters(place.node.host, place.node.port, place.vhost, login)
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("qz.icbc.in", "qz.icbc", b"x", mandatory=True)
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
            channel.basic_publish("qz.boc.in", "qz.boc", b"x", mandatory=True)


def test_users_shows_whose_password_is_whose(place: Place) -> None:
    code, said = place.run("users")
    lines = {line.split()[0]: line for line in said.splitlines() if line.strip().startswith("bank-")}
    assert code == 0
    assert lines["bank-icbc"].rstrip().endswith("this site")
    assert lines["bank-boc"].rstrip().endswith("yours to set")


@pytest.mark.parametrize(
    ("wrong", "words"), [({"port": 1}, "refused"), ({"password": "other"}, "ACCESS_REFUSED")]
)
def test_a_broker_that_is_away_or_refuses_ends_with_its_own_code(
    place: Place, wrong: dict[str, Any], words: str
) -> None:
    place.write(**wrong)
    for command in ("status", "declare"):
        code, said = place.run(command)
        assert code == 3
        assert words in said
        assert "trying again" not in said.splitlines()[-1]


def test_a_site_without_a_broker_says_so() -> None:
    found = CliRunner().invoke(app, ["--config", str(ROOT / "config"), "broker", "status"])
    assert isinstance(found.exception, CommandError)
    assert "no table [broker]" in str(found.exception)
