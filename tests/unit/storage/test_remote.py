"""Remote stores that do not answer: an error within seconds, and other threads run."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from napari_msimage import DenseNDArray, MultiscaleImage, SOMATileDBContext
from napari_msimage.errors import StorageError
from napari_msimage.storage import probe

URI = "s3://bucket/image.soma"


def context_for(port):
    return SOMATileDBContext(
        {
            "vfs.s3.scheme": "http",
            "vfs.s3.region": "us-east-1",
            "vfs.s3.endpoint_override": f"127.0.0.1:{port}",
            "vfs.s3.use_virtual_addressing": False,
            "vfs.s3.aws_access_key_id": "testing",
            "vfs.s3.aws_secret_access_key": "testing",
        }
    )


@pytest.fixture
def silent():
    """A server that accepts connections and never says anything."""
    server = socket.create_server(("127.0.0.1", 0), backlog=50)
    accepted = []

    def accept():
        with contextlib.suppress(OSError):
            while True:
                accepted.append(server.accept()[0])

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield context_for(server.getsockname()[1])
    server.close()
    for connection in accepted:
        connection.close()


@pytest.fixture
def refused():
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return context_for(port)


class Ticker:
    """Measures how long another thread could not run."""

    def __enter__(self):
        self.longest = 0.0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.tick)
        self.thread.start()
        return self

    def tick(self):
        last = time.monotonic()
        while not self.done.wait(0.01):
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last), now

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


CALLS = {
    "image": lambda context: MultiscaleImage.open(URI, context=context),
    "array": lambda context: DenseNDArray.open(URI, context=context),
    "create": lambda context: MultiscaleImage.create(
        URI, type="uint8", level_shape=(3, 5, 7), context=context
    ),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("server", ["silent", "refused"])
def test_dead_server_ends_in_an_error_and_freezes_nobody(request, server, call):
    context = request.getfixturevalue(server)
    start = time.monotonic()
    with Ticker() as ticker, pytest.raises(StorageError, match="does not answer"):
        CALLS[call](context)
    assert time.monotonic() - start < 5
    assert ticker.longest < 1


@pytest.mark.slow
@pytest.mark.parametrize("server", ["silent", "refused"])
def test_probe_of_a_dead_server_knows_nothing(request, server):
    context = request.getfixturevalue(server)
    start = time.monotonic()
    with Ticker() as ticker:
        assert probe(URI, context) is None
        assert time.monotonic() - start < 5
    assert ticker.longest < 1
    assert not MultiscaleImage.exists(URI, context)
