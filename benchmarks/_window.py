"""Open an image in a real napari window, pan, and print what it took as JSON.

Run in a process of its own, once per measurement, so that every plugin pays for its
imports each time, as its user does.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

_TILE = 512
_PAN_STEPS, _PAN_PIXELS = 40, 64
_TIMEOUT_S = 120.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("--plugin", required=True)
    parser.add_argument("--by-channel", action="store_true", help="ours: no RGB layer")
    parser.add_argument("--count", action="store_true", help="ours: count what is read")
    parser.add_argument(
        "--needs", action="store_true", help="ours: what napari asks for"
    )
    parser.add_argument(
        "--after-plain", action="store_true", help="show another image before"
    )
    parser.add_argument("--size", type=int)
    parser.add_argument("--image")
    parser.add_argument("--screenshot")
    options = parser.parse_args()
    os.environ["NAPARI_CONFIG"] = tempfile.mkdtemp() + "/settings.yaml"
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps(_measure(options)), file=answers, flush=True)
    # Qt's own tidying up is not what is measured, and may crash without a window
    # manager.
    os._exit(0)


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    import napari

    sys.excepthook = lambda *err: sys.__excepthook__(*err)
    viewer = napari.Viewer(show=True)
    window = _Window(viewer)
    window.settle()
    answer: dict[str, Any] = {"versions": _versions()}
    if options.after_plain:
        for key in ("plain_s", "plain_next_s"):
            answer[key] = window.seconds_to_frame(partial(_add_plain, viewer))
            window.remove_layers()
    counts = _count_reads() if options.count else {}
    tiles: set[Any] = set()
    if options.needs:
        add, tiles = _needs(viewer, options)
    elif options.by_channel:
        add = partial(_open_by_channel, viewer, options.path)
    else:
        add = partial(viewer.open, options.path, plugin=options.plugin)
    answer["first_frame_s"] = window.seconds_to_frame(add)
    answer["first_levels"] = [layer.data_level for layer in viewer.layers]
    # The mosaic has one byte per pixel and channel.
    answer["needed_bytes"] = sum(tile[-1] for tile in tiles)
    answer["first_frame_bytes"] = counts.get("nbytes", 0)
    if options.needs:
        return answer
    if not options.count:
        window.remove_layers()
        answer["next_frame_s"] = window.seconds_to_frame(add)
    answer["pan_s"] = window.pan()
    answer["pan_bytes"] = counts.get("nbytes", 0) - answer["first_frame_bytes"]
    answer["pan_levels"] = [layer.data_level for layer in viewer.layers]
    picture = viewer.screenshot(flash=False)[..., :3]
    answer["mean_colour"] = picture.mean((0, 1)).round().astype(int).tolist()
    if options.screenshot:
        from skimage.io import imsave

        imsave(options.screenshot, picture)
    return answer


def _versions() -> dict[str, str]:
    packages = ("napari", "napari-msimage", "napari-ome-zarr", "PyQt6", "dask", "zarr")
    found = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _add_plain(viewer: Any) -> None:
    rng = np.random.default_rng(1)
    levels = [rng.integers(0, 256, (n, n, 3), np.uint8) for n in (1024, 512)]
    viewer.add_image(levels, rgb=True, multiscale=True)


def _open_by_channel(viewer: Any, path: str) -> None:
    from napari_msimage import plugin

    plugin.open_image(path, viewer, rgb=False)


class _Window:
    """The events of one viewer: what was drawn, and when it comes to rest."""

    def __init__(self, viewer: Any) -> None:
        from qtpy.QtWidgets import QApplication

        self._viewer = viewer
        self._app = QApplication.instance()
        # napari offers no public way to the canvas and its draw events.
        self._canvas = viewer.window._qt_viewer.canvas._scene_canvas
        self.n_drawn = 0
        self._canvas.events.draw.connect(self._drawn, position="last")
        self._viewer.window._qt_window.resize(1200, 850)

    def _drawn(self, _event: Any) -> None:
        from vispy import gloo

        gloo.finish()
        self.n_drawn += 1

    def settle(self, quiet_s: float = 0.3) -> None:
        """Handle events until nothing has been drawn for a while."""
        n, since = self.n_drawn, time.perf_counter()
        while time.perf_counter() - since < quiet_s:
            self._app.processEvents()
            time.sleep(0.002)
            if self.n_drawn != n:
                n, since = self.n_drawn, time.perf_counter()

    def seconds_to_frame(self, add: Callable[[], Any]) -> float:
        """Add layers; return how long it takes until they are drawn."""
        start = time.perf_counter()
        add()
        self.until_drawn()
        seconds = time.perf_counter() - start
        self.settle()
        return seconds

    def remove_layers(self) -> None:
        self._viewer.layers.clear()
        self.settle()

    def until_drawn(self) -> None:
        """Handle events until there are layers, with pixels, and they were drawn."""
        start = time.perf_counter()
        while not (
            self._viewer.layers and all(layer.loaded for layer in self._viewer.layers)
        ):
            self._app.processEvents()
            if time.perf_counter() - start > _TIMEOUT_S:
                raise SystemExit("no layers appeared")
        self._draw()

    def _draw(self) -> None:
        """Handle events until a draw is followed by a round without one."""
        before = self.n_drawn
        self._canvas.update()
        while True:
            n = self.n_drawn
            self._app.processEvents()
            if self.n_drawn == n > before:
                return

    def pan(self) -> list[float]:
        """Zoom to 1:1 in the middle and pan; return the seconds of each step."""
        camera = self._viewer.camera
        layer = self._viewer.layers[0]
        (low, high) = (bound[-2:] for bound in layer.extent.world)
        middle = (low + high - _PAN_STEPS * _PAN_PIXELS) / 2
        camera.zoom = 1.0
        camera.center = (0, *middle)
        self.settle()
        seconds = []
        for step in range(1, _PAN_STEPS + 1):
            start = time.perf_counter()
            camera.center = (0, middle[0], middle[1] + step * _PAN_PIXELS)
            self._draw()
            seconds.append(time.perf_counter() - start)
        return seconds


def _count_reads() -> dict[str, int]:
    """Count the bytes that TileDB decodes for us, where all reads pass."""
    from napari_msimage.storage import _array_pool

    counts = {"nbytes": 0}
    read_box = _array_pool.PooledArray.read_box

    def counted(self: Any, start: Any, stop: Any, out: Any) -> None:
        nbytes = self.facts.dtype.itemsize
        for a, b, extent, size in zip(
            start, stop, self.facts.tile_extents, self.facts.shape, strict=True
        ):
            # Tiles are decoded whole.
            nbytes *= min(-(-b // extent) * extent, size) - a // extent * extent
        counts["nbytes"] += nbytes
        read_box(self, start, stop, out)

    _array_pool.PooledArray.read_box = counted
    return counts


def _needs(viewer: Any, options: argparse.Namespace) -> tuple[Any, set[Any]]:
    """Return how to add our layers over arrays that note what napari asks them for."""
    from napari_msimage.plugin._open import OpenRequest, read_layers

    from . import _pixels

    mosaics = _pixels.mosaics(options.size, options.image)
    tiles: set[Any] = set()
    layers = [
        (
            [
                _Asked.whole(mosaic, number, tiles)
                for number, mosaic in enumerate(mosaics)
            ],
            k,
        )
        for _, k, _ in read_layers(OpenRequest(options.path))
    ]
    if [level.shape for level in layers[0][0]] != [
        tuple(level.shape) for level in read_layers(OpenRequest(options.path))[0][0]
    ]:
        raise SystemExit("the layer does not show the mosaic's levels")

    def add() -> None:
        for data, kwargs in layers:
            viewer.add_image(data, **kwargs)

    return add, tiles


class _Asked:
    """A level of the mosaic as (y, x, colour) that notes the tiles it is asked for."""

    def __init__(
        self,
        mosaic: Any,
        ranges: tuple[range, ...],
        kept: tuple[int, ...],
        number: int,
        tiles: set[Any],
    ) -> None:
        self._mosaic, self._ranges, self._kept = mosaic, ranges, kept
        self._number, self._tiles = number, tiles
        self.dtype = mosaic.dtype
        self.shape = tuple(len(ranges[axis]) for axis in kept)
        self.ndim = len(kept)
        self.size = math.prod(self.shape)
        # As our levels have it; napari widens what it reads to whole chunks.
        self.chunks = tuple(
            tuple(min(extent, n - at) for at in range(0, n, extent))
            for n, extent in zip(self.shape, (_TILE, _TILE, 1), strict=False)
        )

    @classmethod
    def whole(cls, mosaic: Any, number: int, tiles: set[Any]) -> _Asked:
        channels, height, width = mosaic.shape
        ranges = (range(height), range(width), range(channels))
        return cls(mosaic, ranges, (0, 1, 2), number, tiles)

    def __getitem__(self, key: Any) -> _Asked:
        keys = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            keys[at : at + 1] = [slice(None)] * (self.ndim - len(keys) + 1)
        ranges, kept = list(self._ranges), list(self._kept)
        for axis, part in zip(self._kept, keys, strict=False):
            if isinstance(part, slice):
                ranges[axis] = ranges[axis][part]
            else:
                ranges[axis] = ranges[axis][part : part + 1 or None]
                kept.remove(axis)
        view = (self._mosaic, tuple(ranges), tuple(kept), self._number, self._tiles)
        return _Asked(*view)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        rows, columns, channels = self._ranges
        for row in {y // _TILE for y in rows}:
            for column in {x // _TILE for x in columns}:
                size = [
                    min(_TILE, n - at * _TILE)
                    for n, at in zip(self._mosaic.shape[1:], (row, column), strict=True)
                ]
                for channel in channels:
                    self._tiles.add(
                        (self._number, row, column, channel, math.prod(size))
                    )
        box = tuple(slice(r[0], r[-1] + 1) for r in (channels, rows, columns))
        steps = tuple(slice(None, None, r.step) for r in (rows, columns, channels))
        pixels = np.moveaxis(self._mosaic[box], 0, -1)[steps]
        return np.asarray(pixels.reshape(self.shape), dtype)


if __name__ == "__main__":
    main()
