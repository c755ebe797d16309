"""A real window, SOMA images with known pixels, and a look at what is on the canvas."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication

from napari_msimage.coordinates import Axis, CoordinateSpace
from napari_msimage.storage import MultiscaleImage

#: Small enough that images of a few thousand pixels show their coarse levels.
WINDOW_SIZE = (900, 700)


def settle(rounds: int = 8) -> None:
    """Let napari draw."""
    for _ in range(rounds):
        QApplication.processEvents()


@pytest.fixture
def viewer(make_napari_viewer):
    """Return a viewer in a window on the screen."""
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(*WINDOW_SIZE)
    settle(20)
    return viewer


@pytest.fixture
def gaps():
    """Return a function that lets the window idle, and returns its longest pause."""

    def idle(seconds, is_over=lambda: False, each=lambda: None):
        times = [time.monotonic()]
        end = times[0] + seconds
        loop, timer = QEventLoop(), QTimer()
        timer.setInterval(10)

        def tick():
            times.append(time.monotonic())
            each()
            if times[-1] > end or is_over():
                loop.quit()

        timer.timeout.connect(tick)
        timer.start()
        loop.exec()
        timer.stop()
        return float(np.diff(times).max())

    return idle


@pytest.fixture
def write_soma(tmp_path):
    """Return a function that writes an image: data axis order, finest level first."""

    def write(
        levels: list[np.ndarray],
        order: tuple[str, ...] = ("soma_channel", "y", "x"),
        axes: tuple[str, ...] = ("x", "y"),
        units: tuple[str | None, ...] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str = "image.soma",
        level_uri: str | None = None,
    ) -> str:
        uri = str(tmp_path / name)
        units = units or (None,) * len(axes)
        space = CoordinateSpace([Axis(*pair) for pair in zip(axes, units, strict=True)])
        box = (slice(None),) * len(order)
        with MultiscaleImage.create(
            uri,
            type=levels[0].dtype,
            level_shape=levels[0].shape,
            level_uri=level_uri,
            coordinate_space=space,
            data_axis_order=order,
            has_channel_axis="soma_channel" in order,
        ) as image:
            image["level0"].write(box, levels[0])
            for index, level in enumerate(levels[1:], start=1):
                with image.add_new_level(f"level{index}", shape=level.shape) as array:
                    array.write(box, level)
            image.metadata.update(metadata or {})
        return uri

    return write


class Canvas:
    """What is drawn, measured in canvas pixels (row, column)."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer

    def picture(self) -> np.ndarray:
        """Return the canvas as float RGB, (rows, columns, 3)."""
        settle()
        shot = self.viewer.screenshot(canvas_only=True, flash=False)
        return shot[..., :3].astype(float)

    def centre(self, *layers: Any) -> np.ndarray:
        """Return the centre of what some layers draw, each pixel by its brightness."""
        shown = {layer: layer.visible for layer in self.viewer.layers}
        for layer in self.viewer.layers:
            layer.visible = layer in layers
        light = self.picture().sum(-1)
        for layer, visible in shown.items():
            layer.visible = visible
        light[light < light.max() / 2] = 0
        assert light.any(), "nothing is drawn"
        edges = [light[0], light[-1], light[:, 0], light[:, -1]]
        assert not any(edge.any() for edge in edges), "drawn beyond the canvas"
        weights = light / light.sum()
        rows, columns = np.indices(light.shape)
        return np.array([(rows * weights).sum(), (columns * weights).sum()])


@pytest.fixture
def canvas(viewer):
    """Return a look at the viewer's canvas."""
    return Canvas(viewer)
