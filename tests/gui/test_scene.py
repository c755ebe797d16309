"""Scenes in a real window: images lie on the scene's coordinates, turned ones too."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_msimage import (
    AffineTransform,
    Axis,
    CoordinateSpace,
    IdentityTransform,
    MultiscaleImage,
    ScaleTransform,
    Scene,
    create_levels,
    plan_levels,
)
from napari_msimage.errors import SOMAError
from napari_msimage.plugin import _commands, open_image
from napari_msimage.plugin._new_levels import show_present_levels
from napari_msimage.plugin._open import OpenRequest
from napari_msimage.plugin._overview_job import display_of

pytestmark = pytest.mark.gui

AXES = ("x", "y")
UM = CoordinateSpace((Axis("x", "um"), Axis("y", "um")))
ANGLE = np.deg2rad(35)
TURN = np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])
TRANSFORMS = {
    "scaled": ScaleTransform(AXES, AXES, [0.8, 1.25]),
    "turned": AffineTransform(AXES, AXES, np.column_stack((TURN, [900, -300]))),
    "sheared": AffineTransform(AXES, AXES, [[0.9, 0.4, 150], [-0.1, 1.1, 320]]),
    "flipped": AffineTransform(AXES, AXES, [[0, 1.2, 40], [-0.8, 0, 1900]]),
}
#: Where the images show a ball, in scene coordinates (x, y).
POINT = (1320.4, 810.7)
RADIUS = 90
SIZES = [(1699, 2401), (849, 1200), (311, 443)]


def ball(to_image, size):
    """Return a level: 255 within a ball around the point, in scene coordinates."""
    factors = np.divide(SIZES[0], size)[::-1]
    rows, columns = np.indices(size)
    centres = (np.stack([columns.ravel(), rows.ravel()], axis=1) + 0.5) * factors
    at = to_image.inverse_transform().transform_points(centres)
    is_inside = np.hypot(*(at - POINT).T) <= RADIUS
    return np.where(is_inside, 255, 0).astype("uint8").reshape(size)


@pytest.fixture
def write_scene(tmp_path):
    """Return a function that writes a scene: image keys to transform and levels."""

    def write(images, space=UM, name="scene.soma"):
        uri = str(tmp_path / name)
        with Scene.create(uri, coordinate_space=space) as scene:
            scene.add_new_collection("img")
            for key, (transform, levels) in images.items():
                image = scene.add_new_multiscale_image(
                    key,
                    "img",
                    transform=transform,
                    type=levels[0].dtype,
                    level_shape=levels[0].shape,
                    coordinate_space=space.axis_names,
                    has_channel_axis=levels[0].ndim > len(space),
                )
                for index, cells in enumerate(levels):
                    if index:
                        image.add_new_level(f"level{index}", shape=cells.shape)
                    box = (slice(None),) * cells.ndim
                    image[f"level{index}"].write(box, cells)
        return uri

    return write


def add_ball(viewer, at=POINT[::-1], size=2 * RADIUS):
    """Paint the ball of the images as a point, in world coordinates."""
    n = len(at)
    points = viewer.add_points(
        [at], size=size, face_color="white", units=("um",) * n, name="ball"
    )
    points.border_width = 0
    return points


def assert_aligned(canvas, layer, points, pixel_size):
    """Check that layer and points are drawn in one place, to half a level's pixel."""
    zoom = canvas.viewer.scene.camera.zoom
    off = (canvas.centre(layer) - canvas.centre(points)) / zoom / pixel_size
    assert np.abs(off).max() < 0.5, f"off by {off} pixels of the level shown"


def test_every_image_lies_on_the_scene_at_every_level(viewer, canvas, write_scene):
    images = {
        key: (to_image, [ball(to_image, size) for size in SIZES])
        for key, to_image in TRANSFORMS.items()
    }
    layers = viewer.open(write_scene(images), plugin="napari-msimage")
    assert {layer.name for layer in layers} == set(TRANSFORMS)
    points = add_ball(viewer)
    assert viewer.layers.extent.units is not None
    assert viewer.dims.axis_labels == ("y", "x")
    for layer in layers:
        shown = set()
        for level, zoom in ((0, 1.8), (1, 0.7), (2, 0.28), (0, 1.8)):
            viewer.scene.camera.center = (0, *POINT[::-1])
            viewer.scene.camera.zoom = zoom
            factor = max(layer.downsample_factors[level])
            assert_aligned(canvas, layer, points, factor)
            shown.add(layer.data_level)
        assert len(shown) > 1
        for level in range(3):
            layer.locked_data_level = level
            viewer.scene.camera.zoom = 1
            assert_aligned(canvas, layer, points, max(layer.downsample_factors[level]))


def test_volumes_lie_on_the_scene(viewer, canvas, write_scene):
    space = CoordinateSpace(tuple(Axis(name, "um") for name in ("x", "y", "z")))
    axes = space.axis_names
    linear = np.eye(3)
    linear[:2, :2] = TURN
    turned = AffineTransform(axes, axes, np.column_stack((linear, [50, -40, 3])))
    point = np.array([140.0, 120.0, 22.0])  # x, y, z
    levels = []
    for size in [(40, 150, 180), (20, 75, 90)]:
        factors = np.divide((40, 150, 180), size)[::-1]
        index = np.stack([i.ravel() for i in np.indices(size)[::-1]], axis=1)
        at = turned.inverse_transform().transform_points((index + 0.5) * factors)
        is_inside = np.linalg.norm(at - point, axis=1) <= 9
        levels.append(np.where(is_inside, 255, 0).astype("uint8").reshape(size))
    uri = write_scene({"volume": (turned, levels)}, space)
    (layer,) = viewer.open(uri, plugin="napari-msimage")
    points = add_ball(viewer, point[::-1], size=18)
    for level in range(2):
        layer.locked_data_level = level
        viewer.dims.ndisplay = 2
        viewer.dims.set_point(0, point[2])
        viewer.scene.camera.center = (0, *point[1::-1])
        viewer.scene.camera.zoom = 8
        assert_aligned(canvas, layer, points, level + 1)
        viewer.dims.ndisplay = 3
        for angles in ((0, 0, 90), (30, 40, 50)):
            viewer.scene.camera.angles = angles
            viewer.scene.camera.center = tuple(point[::-1])
            viewer.scene.camera.zoom = 8
            assert_aligned(canvas, layer, points, level + 1)


def test_an_overview_made_in_memory_lies_on_the_scene(
    viewer, canvas, write_scene, qtbot
):
    n = 4500
    rows, columns = np.ogrid[:n, :n]
    centre = np.array((2800.5, 1500.5))  # x, y
    is_inside = np.hypot(rows + 0.5 - centre[1], columns + 0.5 - centre[0]) <= 300
    to_image = TRANSFORMS["turned"]
    levels = [np.where(is_inside, 255, 0).astype("uint8")]
    (layer,) = viewer.open(
        write_scene({"large": (to_image, levels)}), plugin="napari-msimage"
    )
    assert len(layer.data) > 1
    (at,) = to_image.inverse_transform().transform_points([centre])
    points = add_ball(viewer, at[::-1], size=600)
    viewer.scene.camera.center = (0, *at[::-1])
    viewer.scene.camera.zoom = 0.2
    display = display_of(layer)
    qtbot.waitUntil(lambda: not display.needs_pass, timeout=60_000)
    points.visible = False
    qtbot.waitUntil(lambda: canvas.picture().any(), timeout=20_000)
    points.visible = True
    assert_aligned(canvas, layer, points, max(layer.downsample_factors[-1]))


# What the menus do with images of a scene


@pytest.fixture
def colours(write_scene):
    """Return a scene with a turned colour image and a gray one."""
    rng = np.random.default_rng(5)
    rgb = rng.integers(1, 200, (3, 97, 130), dtype="uint8")
    gray = rng.integers(1, 200, (97, 130), dtype="uint8")
    same = IdentityTransform(AXES, AXES)
    return write_scene({"rgb": (TRANSFORMS["turned"], [rgb]), "gray": (same, [gray])})


def test_colours_to_channels_and_back_stay_in_place(viewer, colours):
    gray, rgb = open_image(colours, viewer)
    before = rgb.affine.affine_matrix
    channels = _commands.show_image_as(viewer, rgb, rgb=False)
    assert len(channels) == 3
    for layer in channels:
        np.testing.assert_allclose(layer.affine.affine_matrix, before)
        assert layer.name.startswith("rgb channel")
        assert layer.units == gray.units
    assert gray in viewer.layers
    (rgb,) = _commands.show_image_as(viewer, channels[1], rgb=True)
    np.testing.assert_allclose(rgb.affine.affine_matrix, before)
    assert rgb.name == "rgb"


def test_display_settings_are_stored_in_the_image(viewer, colours):
    gray, rgb = open_image(colours, viewer)
    gray.colormap = "magenta"
    uri = _commands.store_display_settings(viewer, gray)
    assert uri == f"{colours}/img/gray"
    viewer.layers.clear()
    gray, rgb = open_image(colours, viewer)
    assert gray.colormap.name == "magenta"
    assert not np.array_equal(rgb.affine.affine_matrix, np.eye(3))


def test_new_levels_appear_in_place(viewer, colours, qtbot):
    _, rgb = open_image(colours, viewer)
    before = rgb.affine.affine_matrix
    uri = f"{colours}/img/rgb"
    create_levels(uri, plan_levels(uri, shapes=[(3, 48, 65)]))
    show_present_levels(uri)
    qtbot.waitUntil(lambda: len(rgb.data) == 2, timeout=10000)
    np.testing.assert_array_equal(rgb.affine.affine_matrix, before)


def test_only_the_failing_image_is_marked(viewer, colours, qtbot):
    gray, rgb = open_image(colours, viewer)
    gray.data[0].failures.note_failure(SOMAError("Gone."))
    qtbot.waitUntil(lambda: gray.name == "gray (cannot be read)")
    assert rgb.name == "rgb"


def test_the_command_opens_scenes(viewer, colours, qtbot):
    _commands.open_in_background(viewer, OpenRequest(colours))
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=10000)


@pytest.mark.parametrize("agrees", [True, False])
def test_images_elsewhere_are_asked_about(viewer, colours, tmp_path, agrees):
    with MultiscaleImage.create(
        str(tmp_path / "far"), type="uint8", level_shape=(3, 9, 13)
    ) as image:
        pass
    with Scene.open(colours, "w") as scene, MultiscaleImage.open(image.uri) as image:
        scene.img["far"] = image
    button = QMessageBox.StandardButton.Yes if agrees else QMessageBox.StandardButton.No
    asked = []

    def answer(tries=100):
        for box in QApplication.topLevelWidgets():
            if box.objectName() == "msimage-outside" and box.isVisible():
                asked.append(box.informativeText())
                box.button(button).click()
                return
        if tries:
            QTimer.singleShot(50, lambda: answer(tries - 1))

    loop = QEventLoop()

    def run():
        try:
            viewer.open(colours, plugin="napari-msimage")
        finally:
            loop.quit()

    QTimer.singleShot(0, answer)
    QTimer.singleShot(0, run)
    loop.exec()
    assert len(asked) == 1
    assert "img/far: " in asked[0]
    assert len(viewer.layers) == (3 if agrees else 0)
