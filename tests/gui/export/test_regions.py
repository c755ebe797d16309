"""What is exported is what the window shows: regions, and colours as displayed."""

from __future__ import annotations

import time

import numpy as np
import pytest
from napari._qt.widgets.qt_progress_bar import QtLabeledProgressBar
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import Qt

from napari_msimage.engines import Progress
from napari_msimage.plugin import _export_command
from napari_msimage.plugin._export_displayed import displayed_source
from napari_msimage.plugin._export_layer import layers_to_export
from napari_msimage.plugin._export_outline import level_box
from napari_msimage.plugin._export_settings import (
    ExportSettings,
    load_settings,
    save_settings,
)
from napari_msimage.plugin._keys import bind_keys
from napari_msimage.plugin._region_frame import view_state
from napari_msimage.plugin._region_view import view_region

from ..conftest import settle

pytestmark = pytest.mark.gui


def coordinates_image(shape):
    """Return pixels whose colours say where they are: row, column, 255."""
    rows, columns = np.indices(shape)
    return np.stack([rows, columns, np.full(shape, 255)], axis=-1).astype(np.uint8)


def pixels_on(picture):
    """Return the least and greatest row and column among the pixels on the canvas."""
    seen = picture[picture[..., 2] > 250]
    assert len(seen), "nothing is drawn"
    return [(int(part.min()), int(part.max()) + 1) for part in seen[:, :2].T]


def assert_is_drawn(box, seen):
    """Check that a box is what was seen, but for slivers below a screen pixel."""
    for (start, stop), (first, last) in zip(box, seen, strict=True):
        assert start <= first <= start + 1
        assert stop - 1 <= last <= stop


# Regions


@pytest.mark.parametrize("zoom", [3.7, 9.1, 40.3])
@pytest.mark.parametrize("center", [(100.2, 90.7), (7.3, 190.1)])
def test_the_view_is_what_a_screenshot_shows(viewer, canvas, zoom, center):
    layer = viewer.add_image(coordinates_image((190, 230)), rgb=True)
    viewer.scene.camera.center = (0, *center)
    viewer.scene.camera.zoom = zoom
    picture = canvas.picture()
    export = layers_to_export([layer])
    region = view_region(export, view_state(viewer))
    assert_is_drawn(level_box(export.source, region, 0), pixels_on(picture))


@pytest.mark.parametrize("angle", [0, 30, 90, 217])
def test_turned_and_sheared_images(viewer, canvas, angle):
    layer = viewer.add_image(
        coordinates_image((190, 230)),
        rgb=True,
        rotate=angle,
        shear=[0.3],
        scale=(0.5, 0.8),
        translate=(33, -12),
    )
    viewer.scene.camera.center = (0, *layer.data_to_world((95, 115)))
    viewer.scene.camera.zoom = 17
    picture = canvas.picture()
    export = layers_to_export([layer])
    region = view_region(export, view_state(viewer))
    assert_is_drawn(level_box(export.source, region, 0), pixels_on(picture))


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (0, 2, 1)])
def test_other_dimensions_on_the_canvas(viewer, canvas, order):
    shape = (50, 60, 70)
    z, y, x = np.indices(shape).astype(np.uint8)
    volume = np.stack([z, y, x], axis=-1)
    layer = viewer.add_image(volume, rgb=True, scale=(3, 1, 2), translate=(5, 6, 7))
    viewer.dims.order = order
    middle = layer.data_to_world((25, 30, 35))
    viewer.dims.point = middle
    viewer.scene.camera.center = (0, *(middle[axis] for axis in order[-2:]))
    viewer.scene.camera.zoom = 30
    picture = canvas.picture()
    export = layers_to_export([layer])
    region = view_region(export, view_state(viewer))
    seen = picture.reshape(-1, 3)
    seen = [(int(part.min()), int(part.max()) + 1) for part in seen.T]
    assert_is_drawn(level_box(export.source, region, 0), seen)


def test_the_canvas_has_the_size_that_napari_draws(viewer):
    viewer.add_image(np.zeros((90, 120), np.uint8))
    for size in [(900, 700), (700, 500)]:
        viewer.window._qt_window.resize(*size)
        settle(20)
        viewer.scene.camera.center = (0, 33.3, 44.4)
        viewer.scene.camera.zoom = 7.7
        settle()
        corners = viewer.window._qt_viewer.canvas._viewbox_corners_in_world
        ours = view_state(viewer).corners
        assert np.allclose(ours[[0, 2]], corners, atol=1e-4)


def test_cells_of_the_grid(viewer):
    layers = [viewer.add_image(np.zeros((90, 120), np.uint8)) for _ in range(3)]
    viewer.canvas.grid.enabled = True
    settle(20)
    viewer.scene.camera.center = (0, 33.3, 44.4)
    viewer.scene.camera.zoom = 20
    settle(20)
    corners = viewer.window._qt_viewer.canvas._viewbox_corners_in_world
    ours = view_state(viewer).corners
    # cells are whole screen pixels large
    assert np.abs(ours[[0, 2]] - corners).max() * 20 <= 1.5
    region = view_region(layers_to_export(layers[:1]), view_state(viewer))
    assert region.upper[0] - region.lower[0] < 700 / 2 / 20 + 1


# As displayed

SHAPE = (24, 31)
ZOOM = 8


def assert_displayed(viewer, canvas, layers):
    """Check colours against the screenshot, at the centres of pixels."""
    viewer.scene.camera.center = (0, SHAPE[0] / 2 - 0.5, SHAPE[1] / 2 - 0.5)
    viewer.scene.camera.zoom = ZOOM
    picture = canvas.picture()
    pixels = displayed_source(layers).source.levels[0]
    colors = pixels[(slice(0, SHAPE[0]), slice(0, SHAPE[1]), slice(0, 3))]
    middle = np.array(picture.shape[:2]) / 2
    at = [
        np.floor(
            middle[axis] + (np.arange(SHAPE[axis]) + 0.5 - SHAPE[axis] / 2) * ZOOM
        ).astype(int)
        for axis in (0, 1)
    ]
    shown = picture[np.ix_(*at)]
    assert shown.max() > 60, "nothing is drawn"
    assert np.abs(shown - colors).max() <= 2


def ramp(dtype=np.uint8, reverse=False):
    values = np.linspace(0, 1, SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    values = values.T.reshape(SHAPE) if reverse else values
    return (values * 250).astype(dtype)


LOOKS = {
    "gray": {},
    "colormap": {"colormap": "viridis", "contrast_limits": (20, 180)},
    "gamma": {"colormap": "magma", "gamma": 0.4},
    "opacity": {"opacity": 0.4, "colormap": "red"},
    "additive": {"blending": "additive", "opacity": 0.7},
    "minimum": {"blending": "minimum", "opacity": 0.7},
    "opaque": {"blending": "opaque", "opacity": 0.7},
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32"])
def test_one_image(viewer, canvas, look, dtype):
    data = ramp(dtype)
    if dtype == "float32":
        data[3, 5:9] = np.nan
    look = {"contrast_limits": (0, 250), **look}
    assert_displayed(viewer, canvas, [viewer.add_image(data, **look)])


@pytest.mark.parametrize(
    "modes",
    [
        ("additive", "additive", "additive"),
        ("translucent", "translucent", "additive"),
        ("translucent_no_depth", "additive", "translucent_no_depth"),
        ("opaque", "multiplicative", "additive"),
        ("minimum", "minimum", "minimum"),
        ("translucent", "opaque", "minimum"),
    ],
    ids=" ".join,
)
def test_layers_over_one_another(viewer, canvas, modes):
    layers = [
        viewer.add_image(
            ramp(reverse=index == 1)[:: -1 if index == 2 else 1],
            colormap=colormap,
            opacity=opacity,
            blending=mode,
            contrast_limits=(10, 200),
        )
        for index, (mode, colormap, opacity) in enumerate(
            zip(modes, ("gray", "yellow", "cyan"), (1.0, 0.6, 0.8), strict=True)
        )
    ]
    assert_displayed(viewer, canvas, layers)
    layers[0].visible = False
    assert_displayed(viewer, canvas, layers)


def test_colours(viewer, canvas):
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 255, (*SHAPE, 4), dtype=np.uint8)
    layer = viewer.add_image(rgba, rgb=True, opacity=0.9)
    assert_displayed(viewer, canvas, [layer])
    layer.gamma = 1.7
    layer.contrast_limits = (30, 200)
    assert_displayed(viewer, canvas, [layer])


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_labels_over_an_image(viewer, canvas, dtype):
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 9, (4, 4)).repeat(6, axis=0).repeat(8, axis=1)
    labels = blocks[: SHAPE[0], : SHAPE[1]].astype(dtype)
    below = viewer.add_image(ramp())
    above = viewer.add_labels(labels, opacity=0.6)
    assert_displayed(viewer, canvas, [below, above])
    above.contour = 1
    assert_displayed(viewer, canvas, [below, above])
    above.contour = 0
    above.selected_label = 3
    above.show_selected_label = True
    assert_displayed(viewer, canvas, [below, above])
    above.show_selected_label = False
    colors = {None: (0, 0, 0, 0), 1: (1, 0, 0, 1), 2: (0, 0.5, 1, 0.5)}
    above.colormap = DirectLabelColormap(color_dict=colors)
    assert_displayed(viewer, canvas, [below, above])


def test_boxes_are_parts_of_the_whole(viewer):
    rng = np.random.default_rng(0)
    layer = viewer.add_labels(rng.integers(0, 3, (40, 50)))
    layer.contour = 2
    level = displayed_source([layer]).source.levels[0]
    whole = level[(slice(0, 40), slice(0, 50), slice(0, 3))]
    assert len(np.unique(whole.reshape(-1, 3), axis=0)) > 2
    for box in [
        (slice(3, 17), slice(11, 12), slice(0, 3)),
        (slice(0, 5), slice(45, 50), slice(1, 2)),
    ]:
        assert np.array_equal(level[box], whole[box])


# The command


def test_settings_are_kept_in_the_preferences(viewer):
    from napari.settings import get_plugin_settings

    page = get_plugin_settings("napari-msimage").export
    before = load_settings()
    kept = ExportSettings(
        "/a/b",
        "ome-zarr",
        "2",
        as_displayed=True,
        planes="all",
        outside="alpha",
        fill_value="7",
        compression="zlib",
        pyramid="no",
        json_file=True,
    )
    try:
        save_settings(kept)
        assert load_settings() == kept
        assert page.folder == "/a/b"
    finally:
        save_settings(before)


def test_the_key_reaches_the_command(viewer, qtbot, monkeypatch):
    viewer.add_image(np.zeros((40, 50), np.uint8))
    called = []
    monkeypatch.setattr(_export_command, "start_view_export", called.append)
    bind_keys(viewer)
    canvas = viewer.window._qt_viewer.canvas.native
    modifiers = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier
    qtbot.keyClick(canvas, Qt.Key.Key_E, modifiers)
    settle()
    assert called == [viewer]


def test_the_command_can_be_cancelled(viewer, qtbot, monkeypatch, tmp_path):
    told = []
    monkeypatch.setattr(_export_command, "tell", lambda *args: told.append(args))
    viewer.add_image(np.zeros((400, 500), np.uint8), name="tissue")

    def endless(what, notes):
        while True:
            time.sleep(0.01)
            yield Progress(0, 100)

    monkeypatch.setattr(_export_command, "_write", endless)
    job = _export_command.start_view_export(viewer, ExportSettings(str(tmp_path)))
    (bar,) = [
        bar
        for bar in viewer.window._qt_window._activity_dialog.findChildren(
            QtLabeledProgressBar
        )
        if bar.progress.desc.startswith("Exporting tissue_view")
    ]
    bar.cancel_button.click()
    qtbot.waitUntil(lambda: job.outcome is not None, timeout=5_000)
    path = str(tmp_path / "tissue_view.ome.tif")
    assert told == [(f"Cancelled; nothing was written to {path!r}.",)]


def test_the_command_writes_what_is_shown(viewer, qtbot, monkeypatch, tmp_path):
    told = []
    monkeypatch.setattr(_export_command, "tell", lambda *args: told.append(args))
    data = np.random.default_rng(0).integers(0, 255, (400, 500), dtype=np.uint8)
    viewer.add_image(data, name="tissue")
    viewer.scene.camera.center = (0, 199.5, 249.5)
    viewer.scene.camera.zoom = 10
    settle()
    height, width = view_state(viewer).canvas_size
    job = _export_command.start_view_export(
        viewer, ExportSettings(str(tmp_path), "npy", "0")
    )
    qtbot.waitUntil(lambda: job.outcome is not None, timeout=30_000)
    path = tmp_path / "tissue_view.npy"
    assert told == [(f"The current view was exported to {str(path)!r}.",)]
    rows, columns = (
        slice(int(np.floor(middle - size / 20)), int(np.ceil(middle + size / 20)))
        for middle, size in ((200, height), (250, width))
    )
    assert np.array_equal(np.load(path), data[rows, columns])
