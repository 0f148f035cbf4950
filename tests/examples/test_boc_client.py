"""The client in C: a recharge through the queue on a live RabbitMQ, before a front-end of its own process."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bankmq.amqp_names import bank_names, bank_user
from qianzhi.link.messages import Answer, Status
from qianzhi.link.site import load_site
from simulators.servers.packages import require
from tests.frontends.killable import Place

SOURCE = Path(__file__).parents[2] / "examples/boc_client.c"
KEY = "0123456789ABCDEF"  # the test key of config/banks/boc.toml
PASSWORD = "a word for trying"
PHONE = "13800000001"
NAMES = bank_names("", "boc")

Client = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client, made without a warning."""
    require("gcc", "librabbitmq-dev", "libssl-dev")
    made = tmp_path_factory.mktemp("boc") / "boc_client"
    words = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-o", made, SOURCE, "-lrabbitmq", "-lcrypto"]
    subprocess.run(["gcc", *words], check=True, timeout=60)
    return made


@pytest.fixture(scope="module")
def place(
    broker: Any, reactor_thread: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Place, str]]:
    """A front-end of boc on a virtual host of its own, and the name of the bank's user there."""
    vhost, folder = broker.new_vhost(), tmp_path_factory.mktemp("place")
    user = f"bank-boc-{vhost}"  # users are shared by all virtual hosts
    broker.add_user(user, PASSWORD)
    rights = bank_user(NAMES)
    broker.permit(vhost, user, rights.configure, rights.write, rights.read)
    made = Place("boc", folder, reactor_thread, state=broker_table(broker, vhost))
    on_rabbitmq(made.config / "site.toml")
    made.site, problems = load_site(made.config)
    assert problems == []
    front = made.start()
    made.wait_for(made.name, lambda status: status.get("broker_state") == "ready")
    yield made, f"{vhost} {user}"
    front.terminate()
    front.wait(20)
    reactor_thread.run(made.core.server.stop)
    broker.delete_vhost(vhost)
    broker.manage("DELETE", f"/users/{user}")


def broker_table(broker: Any, vhost: str) -> str:
    return (
        f'\n[broker]\nhosts = ["{broker.host}:{broker.port}"]\nvhost = "{vhost}"\n'
        f'user = "{broker.admin_user}"\npassword = "test:{broker.admin_password}"\n'
    )


def on_rabbitmq(file: Path) -> None:
    """Put the queue of boc on the site's broker."""
    text = file.read_text(encoding="utf-8")
    direct = re.compile(r"(\[banks\.boc\]\n(?:\w.*\n)*?)listen = .*\ncontrol = .*\n")
    assert direct.search(text)
    told = f'engine = "rabbitmq"\npassword = "test:{PASSWORD}"\n'
    file.write_text(direct.sub(lambda found: found[1] + told, text), encoding="utf-8")


@pytest.fixture
def client(program: Path, broker: Any, place: tuple[Place, str]) -> Client:
    """Run the client against the place, under the bank's key or another."""

    def run(*options: str, key: str = KEY) -> "subprocess.CompletedProcess[str]":
        told = [broker.host, str(broker.port), *place[1].split(), PHONE, "50.00"]
        environment = {**os.environ, "BOC_PASSWORD": PASSWORD, "BOC_KEY": key}
        return subprocess.run(
            [program, *options, *told],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def credited(place: tuple[Place, str], serial: str) -> int:
    """How often the core has credited this serial."""
    return sum(n for key, n in place[0].core.credits.items() if key.text.endswith(serial))


def test_a_recharge_and_its_repeat_credit_once(client: Client, place: tuple[Place, str]) -> None:
    first, repeat, asked = client("-s", "000101"), client("-s", "000101"), client("-s", "000101", "-t", "0")
    for done in (first, repeat, asked):
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert "code 00, order WO" in done.stdout
    assert 'correlation id "000101' in first.stdout
    assert "to boc: 0200" in first.stdout
    assert asked.stdout.startswith("to boc.ctl: 0200")
    assert credited(place, "000101") == 1


def test_a_request_without_a_message_id_hears_an_empty_correlation_id(
    client: Client, place: tuple[Place, str]
) -> None:
    done = client("-s", "000102", "-n")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert 'bytes, correlation id ""' in done.stdout
    assert credited(place, "000102") == 1


def test_a_wrong_key_is_refused_and_never_believed(client: Client, place: tuple[Place, str]) -> None:
    done = client("-s", "000103", "-w", "2", "-t", "1", "-q", "1", key="0123456789ABCDFF")
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout.count("its code, for diagnosis alone: A0") == 2
    assert credited(place, "000103") == 0


def test_an_unknown_outcome_is_settled_over_the_control_queue(
    client: Client, place: tuple[Place, str], monkeypatch: Any
) -> None:
    core, carry_out = place[0].core, place[0].core.carry_out

    def lose_the_first(envelope: Any) -> Answer:
        monkeypatch.setattr(core, "carry_out", carry_out)
        return Answer(carry_out(envelope).id, Status.UNKNOWN)

    monkeypatch.setattr(core, "carry_out", lose_the_first)
    done = client("-s", "000104", "-t", "1")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert re.findall(r"(?m)^to [\w.]+|^code \w+", done.stdout) == [
        "to boc",
        "code 68",
        "to boc.ctl",
        "code 00",
    ]
    assert credited(place, "000104") == 1
