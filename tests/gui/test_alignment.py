"""Points at known SOMA coordinates lie on the right pixel, as drawn on the canvas.

Each level is drawn by itself: a ball around one SOMA coordinate, sampled at the pixel
centres of the level, where pixel i of a level covers [i, i + 1) times its factor.
"""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.gui

LAYOUTS = {
    "RGB YXC": (("y", "x", "soma_channel"), 3),
    "RGBA CYX": (("soma_channel", "y", "x"), 4),
    "channels CYX": (("soma_channel", "y", "x"), 2),
    "channels XYC": (("x", "y", "soma_channel"), 2),
    "single XY": (("x", "y"), None),
    "single YX": (("y", "x"), None),
}
SIZES = {
    "factor 2": [(2400, 3200), (1200, 1600), (600, 800)],
    "odd sizes": [(2399, 3201), (1199, 1601), (599, 801)],
    "factors 1.7 and 2.9": [(2400, 3200), (1411, 1882), (487, 649)],
    "one level": [(1200, 1600)],
}
#: Every layout with the hardest ratios, and all ratios with two layouts.
CASES = [(layout, "factors 1.7 and 2.9") for layout in LAYOUTS]
CASES += [
    (layout, sizes)
    for layout in ("RGB YXC", "single YX")
    for sizes in SIZES
    if sizes != "factors 1.7 and 2.9"
]


def ball(sizes, factors, centre, radius):
    """Return a level: 255 within a ball, 0 elsewhere; all in the same axis order."""
    distance = np.zeros(sizes)
    for axis, (n, factor, c) in enumerate(zip(sizes, factors, centre, strict=True)):
        position = (np.arange(n) + 0.5) * factor
        part = ((position - c) / radius) ** 2
        distance += part.reshape([-1 if i == axis else 1 for i in range(len(sizes))])
    return np.where(distance <= 1, 255, 0).astype("uint8")


def arrange(plane, axes, order, n_channels):
    """Bring a level of spatial axes into data axis order; all channels equal."""
    if n_channels is None:
        return plane.transpose([axes.index(name) for name in order])
    cells = np.stack([plane] * n_channels)
    if n_channels == 4:
        cells[3] = 255
    return cells.transpose([("soma_channel", *axes).index(name) for name in order])


def pyramid(sizes, axes, order, n_channels, centre, radius):
    levels = []
    for size in sizes:
        factors = [a / b for a, b in zip(sizes[0], size, strict=True)]
        plane = ball(size, factors, centre, radius)
        levels.append(arrange(plane, axes, order, n_channels))
    return levels


def zoom_for(layer, level):
    """Return a zoom at which napari shows a level: a bit over a pixel per pixel."""
    return 0.95 / max(layer.downsample_factors[level])


def assert_aligned(canvas, layers, points, pixel_size):
    """Check that layers and points are drawn in one place, to half a level's pixel."""
    zoom = canvas.viewer.scene.camera.zoom
    off = (canvas.centre(*layers) - canvas.centre(points)) / zoom / pixel_size
    assert np.abs(off).max() < 0.5, f"off by {off} pixels of the level shown"


@pytest.mark.parametrize(("layout", "ratios"), CASES, ids=map(", ".join, CASES))
def test_at_every_level_in_2d_and_3d(viewer, canvas, write_soma, layout, ratios):
    order, n_channels = LAYOUTS[layout]
    sizes = SIZES[ratios]
    y, x = 0.461 * sizes[0][0], 0.535 * sizes[0][1]
    levels = pyramid(sizes, ("y", "x"), order, n_channels, (y, x), radius=150)
    uri = write_soma(levels, order)
    layers = viewer.open(uri, plugin="napari-msimage")
    assert [layer.rgb for layer in layers] == (
        [True] if n_channels in (3, 4) else [False] * (n_channels or 1)
    )
    points = viewer.add_points([(y, x)], size=300, face_color="white", border_width=0)

    shown = set()
    for ndisplay in (2, 3, 2):
        viewer.dims.ndisplay = ndisplay
        for level in range(len(sizes)) if ndisplay == 2 else [len(sizes) - 1]:
            viewer.scene.camera.center = (0, y, x)
            viewer.scene.camera.zoom = zoom_for(layers[0], level)
            factor = max(layers[0].downsample_factors[level])
            assert_aligned(canvas, layers, points, factor)
            if ndisplay == 2:
                shown.add(layers[0].data_level)
    assert shown == set(range(len(sizes)))


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_single_pixels_at_every_level(viewer, canvas, write_soma, layout):
    order, n_channels = layout
    sizes = [(97, 130), (49, 65), (17, 22)]
    lit = [(71, 40), (30, 11), (3, 19)]
    levels = []
    for size, pixel in zip(sizes, lit, strict=True):
        plane = np.zeros(size, "uint8")
        plane[pixel] = 255
        levels.append(arrange(plane, ("y", "x"), order, n_channels))
    layers = viewer.open(write_soma(levels, order), plugin="napari-msimage")
    points = viewer.add_points([(0, 0)], size=1, face_color="white", border_width=0)

    for level, (size, pixel) in enumerate(zip(sizes, lit, strict=True)):
        for layer in layers:
            layer.locked_data_level = level
        factors = np.divide(sizes[0], size)
        centre = (np.array(pixel) + 0.5) * factors
        points.data = [centre]
        for ndisplay in (2, 3, 2):
            viewer.dims.ndisplay = ndisplay
            viewer.scene.camera.center = (0, *centre)
            viewer.scene.camera.zoom = 40 / max(factors)
            assert_aligned(canvas, layers, points, min(factors))


@pytest.mark.parametrize(
    "order",
    [("soma_channel", "z", "y", "x"), ("x", "y", "z")],
    ids=["CZYX", "XYZ"],
)
def test_volumes(viewer, canvas, write_soma, order):
    n_channels = 2 if "soma_channel" in order else None
    sizes = [(64, 240, 300), (32, 120, 150), (21, 60, 75)]
    x, y, z = 171.0, 106.0, 41.0
    levels = pyramid(sizes, ("z", "y", "x"), order, n_channels, (z, y, x), radius=18)
    uri = write_soma(levels, order, axes=("x", "y", "z"))
    layers = viewer.open(uri, plugin="napari-msimage")
    points = viewer.add_points([(z, y, x)], size=36, face_color="white")
    points.border_width = 0
    assert viewer.dims.axis_labels == ("z", "y", "x")

    for level in range(3):
        for layer in layers:
            layer.locked_data_level = level
        pixel_size = min(layers[0].downsample_factors[level])
        viewer.dims.ndisplay = 2
        for axes in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            viewer.dims.order = axes
            for axis, value in enumerate((z, y, x)):
                viewer.dims.set_point(axis, value)
            viewer.scene.camera.center = [(z, y, x)[axis] for axis in axes]
            viewer.scene.camera.zoom = 6
            assert_aligned(canvas, layers, points, pixel_size)
        viewer.dims.order = (0, 1, 2)
        viewer.dims.ndisplay = 3
        for angles in ((0, 0, 90), (90, 0, 0), (0, 90, 0), (30, 40, 50)):
            viewer.scene.camera.angles = angles
            viewer.scene.camera.center = (z, y, x)
            viewer.scene.camera.zoom = 6
            assert_aligned(canvas, layers, points, pixel_size)


def test_slider_shows_the_plane_at_its_coordinate(viewer, write_soma):
    planes = (
        np.zeros((30, 90, 110), "uint8") + np.arange(30, dtype="uint8")[:, None, None]
    )
    uri = write_soma([planes], ("z", "y", "x"), axes=("x", "y", "z"))
    (layer,) = viewer.open(uri, plugin="napari-msimage")
    for index in (0, 1, 17, 29):
        for z in (index + 0.02, index + 0.5, index + 0.98):
            viewer.dims.set_point(0, z)
            assert layer._slice.image.raw.max() == index


def test_one_axis_is_a_row_at_its_coordinates(viewer, canvas, write_soma):
    sizes = [(400,), (130,)]
    levels = [ball(size, [400 / size[0]], (307.0,), radius=30) for size in sizes]
    (layer,) = viewer.open(
        write_soma(levels, ("x",), axes=("x",)), plugin="napari-msimage"
    )
    points = viewer.add_points([(0.5, 307.0)], size=1, face_color="white")
    points.border_width = 0
    for level, size in enumerate(sizes):
        layer.locked_data_level = level
        viewer.scene.camera.center = (0, 0.5, 307)
        viewer.scene.camera.zoom = 8
        assert_aligned(canvas, [layer], points, 400 / size[0])
    assert viewer.dims.axis_labels == ("row", "x")
