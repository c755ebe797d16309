"""The current view as a region: every transform, displayed order and level."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image

from napari_msimage.errors import ArgumentError, RegionError, UnsupportedError
from napari_msimage.plugin._export_layer import layers_to_export
from napari_msimage.plugin._export_outline import export_outline, level_box
from napari_msimage.plugin._region_frame import ViewState, image_frame, view_state
from napari_msimage.plugin._region_view import view_region

SIZE = (13, 17)
VOLUME = (7, 13, 17)


def pyramid(shape, factors=(1, 1.7, 3.1)):
    return [np.zeros([max(1, int(n / f)) for n in shape], np.uint8) for f in factors]


def image(shape=SIZE, levels=None, **arguments):
    return Image(levels or pyramid(shape), multiscale=True, **arguments)


def viewer_with(*layers, center=(6, 8), zoom=20.0, size=(200, 300), order=None):
    viewer = ViewerModel()
    for layer in layers:
        viewer.add_layer(layer)
    if order is not None:
        viewer.dims.order = order
    viewer.canvas.size = size
    viewer.scene.camera.center = (0, *center)
    viewer.scene.camera.zoom = zoom
    return viewer


def region_in(viewer, layer, **options):
    return view_region(layers_to_export([layer]), view_state(viewer), **options)


numbers = st.floats(-30, 30)
matrices = st.lists(st.floats(-3, 3), min_size=4, max_size=4).map(
    lambda values: np.reshape(values, (2, 2))
)


# In the plane


def test_the_canvas_is_the_region():
    layer = image()
    region = region_in(viewer_with(layer, center=(6, 8), zoom=40), layer)
    # 5 x 7.5 world units about (6, 8), pixel 0 centred on 0
    assert region.lower == pytest.approx((6 - 2.5 + 0.5, 8 - 3.75 + 0.5))
    assert region.upper == pytest.approx((6 + 2.5 + 0.5, 8 + 3.75 + 0.5))
    assert region.outline is None


def test_it_is_cut_off_at_the_edges_of_the_image():
    layer = image()
    region = region_in(viewer_with(layer, zoom=1), layer)
    assert (region.lower, region.upper) == ((0, 0), SIZE)


@given(
    matrices,
    st.tuples(numbers, numbers),
    st.tuples(st.floats(-5, 20), st.floats(-5, 20)),
    st.floats(5, 80),
    st.integers(0, 2),
)
@settings(max_examples=60, deadline=None)
def test_pixels_are_those_whose_rows_and_columns_are_drawn(
    linear, translate, center, zoom, level
):
    assume(abs(np.linalg.det(linear)) > 0.05)
    affine = np.eye(3)
    affine[:2, :2], affine[:2, 2] = linear, translate
    layer = image(affine=affine)
    middle = layer.data_to_world(center)
    viewer = viewer_with(layer, center=middle, zoom=zoom)
    export = layers_to_export([layer])
    half = np.array((200, 300)) / zoom / 2
    canvas = shapely.box(*(middle - half), *(middle + half))

    # every row and column of the level, drawn where napari draws it
    size = layer.data[level].shape
    drawn = [[], []]
    for axis, n in enumerate(size):
        factor = SIZE[axis] / n
        far = np.array([-1e4, 1e4])
        for index in range(n):
            low, high = index * factor - 0.5, (index + 1) * factor - 0.5
            strip = [(low, far[0]), (high, far[0]), (high, far[1]), (low, far[1])]
            if axis == 1:
                strip = [corner[::-1] for corner in strip]
            shape = shapely.Polygon([layer.data_to_world(c) for c in strip])
            overlap = shape.intersection(canvas)
            if overlap.area > 0:
                width = np.array(
                    [layer.world_to_data(c)[axis] for c in overlap.exterior.coords]
                )
                # slivers below the snapping of bounds do not count
                if np.ptp(width) > 1e-6 * factor:
                    drawn[axis].append(index)
    picture = shapely.Polygon(
        [
            layer.data_to_world((y - 0.5, x - 0.5))
            for y, x in [(0, 0), (0, SIZE[1]), SIZE, (SIZE[0], 0)]
        ]
    )
    assume(picture.intersection(canvas).area > 1e-6)
    region = view_region(export, view_state(viewer))
    box = level_box(export.source, region, level)
    expected = tuple((min(part), max(part) + 1) for part in drawn)
    assert box == expected


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_quarter_turns_have_no_outline_and_gain_no_pixels(angle):
    layer = image((16, 16), rotate=angle, scale=(0.1, 0.1))
    middle = layer.data_to_world((7.5, 7.5))
    viewer = viewer_with(layer, center=middle, zoom=100, size=(80, 80))
    region = region_in(viewer, layer)
    assert region.outline is None
    source = layers_to_export([layer]).source
    assert level_box(source, region, 0) == ((4, 12), (4, 12))


def test_turned_images_have_the_canvas_as_outline():
    layer = image(rotate=30)
    viewer = viewer_with(layer, center=layer.data_to_world((6, 8)))
    region = region_in(viewer, layer)
    corners = [layer.world_to_data(c) for c in view_state(viewer).corners]
    assert np.allclose(region.outline, np.array(corners) + 0.5)


def test_nothing_on_the_canvas_is_refused():
    layer = image()
    with pytest.raises(RegionError, match="shows nothing of 'Image'"):
        region_in(viewer_with(layer, center=(500, 0)), layer)


def test_a_turned_image_beside_the_canvas_is_refused():
    # the bounding boxes overlap, the image and the canvas do not
    layer = image((100, 100), rotate=45)
    viewer = viewer_with(layer, center=(0, -3.5), zoom=20, size=(100, 100))
    with pytest.raises(RegionError, match="shows nothing of"):
        region_in(viewer, layer)


def test_three_dimensional_views_are_refused():
    layer = image(VOLUME)
    viewer = viewer_with(layer)
    viewer.dims.ndisplay = 3
    with pytest.raises(UnsupportedError, match=r"3-D view is not defined.*whole image"):
        region_in(viewer, layer)


def test_other_units_of_the_viewer():
    fine = image(units="um", scale=(250, 250))
    coarse = image(units="mm")
    viewer = viewer_with(fine, coarse, center=(0, 0), zoom=20)
    state = view_state(viewer)
    one = region_in(viewer, fine)
    scale = 1 if set(state.units) == {"micrometer"} else 1000
    half = np.array((200, 300)) / 20 / 2 * scale / 250
    assert np.allclose(one.upper, np.minimum(half + 0.5, SIZE))


def test_the_grid_has_smaller_canvases():
    layers = [image(), image()]
    viewer = viewer_with(*layers, zoom=40)
    viewer.canvas.grid.enabled = True
    viewer.canvas.grid.spacing = 0
    region = region_in(viewer, layers[0])
    assert np.subtract(region.upper, region.lower) == pytest.approx((5, 3.75))


# Dimensions


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("level", [0, 1, 2])
def test_orders_of_a_volume(order, level):
    scale, translate = (2.0, 0.5, 0.25), (10, -3, 5)
    layer = image(VOLUME, scale=scale, translate=translate)
    middle = layer.data_to_world((3, 6, 8))
    shown = order[-2:]
    viewer = viewer_with(
        layer, center=[middle[a] for a in shown], zoom=50, order=order, size=(100, 120)
    )
    viewer.dims.point = middle
    export = layers_to_export([layer])
    region = region_in(viewer, layer)
    expected = [None] * 3
    index = layer.world_to_data(middle)[order[0]]
    factors = [a / b for a, b in zip(VOLUME, layer.data[level].shape, strict=True)]
    plane = int((index + 0.5) // factors[order[0]])
    expected[order[0]] = (plane, plane + 1)
    for axis, half in zip(shown, (1.0, 1.2), strict=True):
        middle_pixel = layer.world_to_data(middle)[axis] + 0.5
        low = max(0, middle_pixel - half / scale[axis]) / factors[axis]
        high = min(VOLUME[axis], middle_pixel + half / scale[axis]) / factors[axis]
        expected[axis] = (int(np.floor(low + 1e-9)), int(np.ceil(high - 1e-9)))
    assert level_box(export.source, region, level) == tuple(expected)


def test_planes_of_a_volume():
    layer = image(VOLUME)
    viewer = viewer_with(layer, zoom=1)
    viewer.dims.set_point(0, 4)
    assert region_in(viewer, layer).lower == (4, 0, 0)
    everything = region_in(viewer, layer, planes="all")
    assert (everything.lower[0], everything.upper[0]) == (0, 7)
    some = region_in(viewer, layer, planes=(2, 5))
    assert (some.lower[0], some.upper[0]) == (2, 5)
    with pytest.raises(RegionError, match=r"\[5, 9\) along 'z'.*\[0, 7\)"):
        region_in(viewer, layer, planes=(5, 9))
    with pytest.raises(ArgumentError, match="planes must be"):
        region_in(viewer, layer, planes="some")


@given(st.integers(1, 40), st.lists(st.integers(1, 40), max_size=3), st.data())
@settings(max_examples=50, deadline=None)
def test_the_current_plane_is_one_plane_at_every_level(size, others, data):
    sizes = [size, *sorted((n for n in others if n < size), reverse=True)]
    levels = [np.zeros((n, 6 - i, 9 - i)) for i, n in enumerate(sizes)]
    layer = image(levels=levels)
    viewer = viewer_with(layer, center=(3, 4))
    index = data.draw(st.integers(0, size - 1))
    viewer.dims.point = (index, 3, 4)
    export = layers_to_export([layer])
    region = view_region(export, view_state(viewer))
    for level, n in enumerate(sizes):
        (start, stop), *_ = level_box(export.source, region, level)
        assert (start, stop) == ((2 * index + 1) * n // (2 * size), start + 1)


def test_a_slider_beyond_the_image_is_refused():
    layer = image(VOLUME)
    viewer = viewer_with(layer, image((20, 13, 17)))
    viewer.dims.set_point(0, 12)
    with pytest.raises(RegionError, match=r"Plane 12 along 'z'.*planes 0 to 6"):
        region_in(viewer, layer)


def test_a_plane_beside_a_volume_follows_napari():
    plane, volume = image(), image(VOLUME)
    viewer = viewer_with(plane, volume, order=(1, 0, 2))
    export = layers_to_export([plane])
    frame = image_frame(export, view_state(viewer))
    assert list(frame.displayed) == plane._slice_input.displayed
    region = view_region(export, view_state(viewer))
    assert len(region.lower) == 2


def test_channels_that_are_not_split():
    levels = [np.zeros((3, *shape), np.uint8) for shape in [(13, 17), (7, 9)]]
    layer = image(levels=levels)
    viewer = viewer_with(layer, zoom=40)
    export = layers_to_export([layer], channel_axis=0)
    assert export.source.axis_names == ("soma_channel", "y", "x")
    region = view_region(export, view_state(viewer))
    assert region.lower == pytest.approx((4, 4.75))
    viewer.dims.order = (1, 0, 2)
    with pytest.raises(ArgumentError, match="channels along one of the axes"):
        view_region(export, view_state(viewer))


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
def test_edge_on_is_refused():
    turn = np.eye(4)
    turn[:3, :3] = [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]
    layer = image(VOLUME, affine=turn)
    state = ViewState((0, 1, 2), 2, (0, 0, 0), (0, 0), 1, (100, 100))
    with pytest.raises(ArgumentError, match="edge-on"):
        view_region(layers_to_export([layer]), state)


# What the preview shows


@given(matrices, st.tuples(numbers, numbers), st.integers(0, 2), st.data())
@settings(max_examples=50, deadline=None)
def test_outlines_are_the_corners_of_the_exported_pixels(
    linear, translate, level, data
):
    assume(abs(np.linalg.det(linear)) > 0.05)
    affine = np.eye(3)
    affine[:2, :2], affine[:2, 2] = linear, translate
    layer = image(affine=affine)
    viewer = viewer_with(layer, center=layer.data_to_world((6, 8)), zoom=100)
    export = layers_to_export([layer])
    region = view_region(export, view_state(viewer))
    (top, bottom), (left, right) = level_box(export.source, region, level)
    factors = np.divide(SIZE, layer.data[level].shape)
    ring = [(top, left), (top, right), (bottom, right), (bottom, left)]
    corners = [layer.data_to_world(np.array(c) * factors - 0.5) for c in ring]
    assert np.allclose(export_outline(export, region, level), corners)


def test_outlines_in_a_volume_lie_in_the_plane():
    layer = image(VOLUME, scale=(2, 1, 1))
    viewer = viewer_with(layer, zoom=1, order=(1, 0, 2))
    viewer.dims.point = (0, 5, 0)
    export = layers_to_export([layer])
    region = view_region(export, view_state(viewer))
    ring = export_outline(export, region, 0, displayed=(0, 2), plane=5.5)
    assert (ring[:, 1] == 5).all()
    assert ring[:, 0].tolist() == [-1, -1, 13, 13]
    assert ring[:, 2].tolist() == [-0.5, 16.5, 16.5, -0.5]


def test_proxies_of_widgets_are_taken_without_warnings(recwarn):
    from napari.utils._proxies import PublicOnlyProxy

    layer = image()
    viewer = viewer_with(layer, zoom=40)
    viewer.canvas.grid.enabled = True
    proxy = PublicOnlyProxy(viewer)
    region = view_region(layers_to_export([proxy.layers[0]]), view_state(proxy))
    assert region.lower == region_in(viewer, layer).lower
    assert not [w for w in recwarn if issubclass(w.category, FutureWarning)]
