"""The Preferences page, and slow or silent servers."""

from __future__ import annotations

import itertools
import socket
import threading
import time

import pytest

from napari_msimage.errors import SOMAError
from napari_msimage.plugin import _settings, open_image
from napari_msimage.storage import SOMATileDBContext, tile_cache

pytestmark = pytest.mark.gui


@pytest.fixture
def preferences(make_napari_viewer):
    """Return the plugin's preferences; values and cache size are put back."""
    from napari.settings import get_plugin_settings

    make_napari_viewer()
    memory = get_plugin_settings("napari-msimage").memory
    before = memory.tile_cache_mib, tile_cache().max_bytes
    yield memory
    memory.tile_cache_mib = before[0]
    tile_cache().set_max_bytes(before[1])


def test_cache_size_applies_at_opening_and_when_changed(preferences):
    automatic = tile_cache().max_bytes
    preferences.tile_cache_mib = 96
    _settings.apply_settings()
    assert tile_cache().max_bytes == 96 * 2**20
    preferences.tile_cache_mib = 32
    assert tile_cache().max_bytes == 32 * 2**20
    preferences.tile_cache_mib = 0
    assert tile_cache().max_bytes == automatic


def test_cache_size_is_checked(preferences):
    with pytest.raises(ValueError, match="tile_cache_mib"):
        preferences.tile_cache_mib = -1


@pytest.fixture
def silent_server():
    """Return the address of a server that takes connections and never answers."""
    server = socket.create_server(("127.0.0.1", 0))
    taken = []

    def take():
        while True:
            try:
                taken.append(server.accept()[0])
            except OSError:
                return

    threading.Thread(target=take, daemon=True).start()
    yield f"127.0.0.1:{server.getsockname()[1]}"
    server.close()
    for connection in taken:
        connection.close()


@pytest.fixture
def silent_context(silent_server):
    """Return TileDB settings that send every S3 request to the silent server."""
    return SOMATileDBContext(
        {
            "vfs.s3.endpoint_override": silent_server,
            "vfs.s3.scheme": "http",
            "vfs.s3.use_virtual_addressing": "false",
            "vfs.s3.aws_access_key_id": "a",
            "vfs.s3.aws_secret_access_key": "b",
        }
    )


def test_a_silent_server_ends_in_a_message_within_5_seconds(
    make_napari_viewer, silent_context
):
    viewer = make_napari_viewer()
    start = time.monotonic()
    with pytest.raises(SOMAError, match=r"s3://bucket/i\.soma.*does not answer"):
        open_image("s3://bucket/i.soma", viewer, context=silent_context)
    assert time.monotonic() - start < 5


def test_the_window_stays_alive_while_a_server_is_silent(
    make_napari_viewer, silent_context, qtbot
):
    from qtpy.QtCore import QTimer

    from napari_msimage.plugin._commands import open_in_background
    from napari_msimage.plugin._open import OpenRequest

    viewer = make_napari_viewer()
    ticks = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(time.monotonic()))
    timer.start(10)
    request = OpenRequest("s3://bucket/i.soma", context=silent_context)
    worker = open_in_background(viewer, request)
    with qtbot.waitSignal(worker.finished, timeout=10000):
        pass
    timer.stop()
    gaps = [b - a for a, b in itertools.pairwise(ticks)]
    assert len(ticks) > 50
    assert max(gaps) < 1.5  # frozen, it would be 3 seconds or more
