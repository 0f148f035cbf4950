"""A model front-end behind a real TCP port, for tests of clients and shells; one thread a connection."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qianzhi.runtime import clock
from qianzhi.wire.framing import FrameReader, frame
from simulators.model_front import ModelFront

READ_BYTES = 65_536


@contextmanager
def serve_socket(front: ModelFront, mute: threading.Event | None = None) -> Iterator[int]:
    """Serve on a free port of 127.0.0.1, which is given; while `mute` is set nothing is answered."""
    lock = threading.Lock()

    class Handler(socketserver.BaseRequestHandler):
        """One connection."""

        def handle(self) -> None:
            """Answer frames until the other side closes."""
            profile = front.profile
            measure = profile.codec.measure if profile.frame.kind == "message" else None
            reader = FrameReader(profile.frame, measure)
            while True:
                try:
                    data = self.request.recv(READ_BYTES)
                except ConnectionError:
                    return
                if not data:
                    return
                for body in reader.receive_data(data):
                    self._answer(body)
                    if profile.transport.connection == "short":
                        return  # one message, one connection

        def _answer(self, body: bytes) -> None:
            with lock:
                answers = front.answer(body, clock.now()) if body else []
            if answers and not (mute is not None and mute.is_set()):
                self.request.sendall(b"".join([frame(front.profile.frame, answer) for answer in answers]))

    with _server(Handler) as port:
        yield port


@contextmanager
def _server(handler: Any) -> Iterator[int]:
    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()
