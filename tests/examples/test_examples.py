"""The clients in examples/ against a front-end made of the platform's codecs.

`recharge_twice` is what an integration test calls with the ports of a running system.
"""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from frontends.profile import load_profile
from qianzhi.runtime import clock
from simulators.model_front import ModelFront
from simulators.model_server import serve_socket
from simulators.tiny_core import TinyCore

ROOT = Path(__file__).parents[2]
MASTER = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
KEY = bytes.fromhex("FEDCBA98765432100123456789ABCDEF")
PHONE = "13800000001"


def front_of(name: str) -> ModelFront:
    profile, problems = load_profile(ROOT / "config", name)
    assert profile is not None, problems
    return ModelFront(profile, TinyCore(range(13_800_000_000, 13_800_001_000)), MASTER, KEY)


def run_example(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def recharge_twice(name: str, port: int, phone: str = PHONE) -> str:
    """Recharge by a client, repeat it under the same serial, try other content; return the serial."""
    arguments = ("--phone", phone, "--port", str(port))
    first = run_example(name, *arguments, "--amount", "50.00")
    assert first.returncode == 0, first.stdout + first.stderr
    serial, order = re.findall(r"serial (\w+): .* order (\w+)", first.stdout)[0]
    repeat = run_example(name, *arguments, "--amount", "50.00", "--serial", serial)
    assert repeat.returncode == 0, repeat.stdout + repeat.stderr
    assert order in repeat.stdout
    other = run_example(name, *arguments, "--amount", "51.00", "--serial", serial)
    assert other.returncode == 1, other.stdout + other.stderr
    return str(serial)


@contextmanager
def serve_queue(front: ModelFront, deaf: int = 0) -> Iterator[int]:
    """Answer a DEALER on a free port, but for the first `deaf` messages."""
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.setsockopt(zmq.LINGER, 0)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    ended = threading.Event()

    def run() -> None:
        heard = 0
        while not ended.is_set():
            if router.poll(20):
                identity, message_id, body = router.recv_multipart()
                heard += 1
                for answer in front.answer(body, clock.now()) if heard > deaf else []:
                    router.send_multipart([identity, message_id, answer])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield int(port)
    finally:
        ended.set()
        thread.join()
        router.close()
        context.term()


def test_the_socket_client_signs_on_takes_a_key_and_recharges() -> None:
    front = front_of("hz_citic")
    with serve_socket(front) as port:
        serial = recharge_twice("hz_citic_client", port)
    assert front.faults == []
    assert set(front.answered_codes) == {"00"}  # our key deliveries, as the client answered them
    assert {request.serial for request in front.asked} == {serial}
    assert front.core.standing_fen == 50_00


def test_the_queue_client_recharges() -> None:
    front = front_of("icbc")
    with serve_queue(front) as port:
        serial = recharge_twice("icbc_client", port)
    assert front.faults == []
    assert {request.serial for request in front.asked} == {serial}
    assert front.core.standing_fen == 50_00


@pytest.mark.parametrize(("name", "code"), [("hz_citic", "14"), ("icbc", "1002")])
def test_a_refusal_is_shown_with_its_code_and_exit_status(name: str, code: str) -> None:
    front = front_of(name)
    serve = serve_socket if name == "hz_citic" else serve_queue
    with serve(front) as port:
        done = run_example(f"{name}_client", "--phone", "19912345678", "--amount", "50", "--port", str(port))
    assert done.returncode == 1
    assert code in done.stdout
    assert front.core.standing_fen == 0


def test_a_queue_client_that_hears_nothing_says_that_the_outcome_is_unknown() -> None:
    with serve_queue(front_of("icbc"), deaf=9) as port:
        done = run_example(
            "icbc_client", "--phone", PHONE, "--amount", "50", "--port", str(port), "--seconds", "1"
        )
    assert done.returncode == 1
    assert "the outcome is unknown" in done.stderr


def test_the_clients_import_nothing_of_the_platform() -> None:
    ours = r"^\s*(from|import) (qianzhi|frontends|simulators|bankmq|socket_pool|interface_layer|crm_bridge)"
    for path in (ROOT / "examples").glob("*.py"):
        assert not re.search(ours, path.read_text(encoding="utf-8"), re.MULTILINE), path.name
