"""Drawn shapes as regions: every kind, every transform, exact pixels."""

from __future__ import annotations

import os

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Shapes

from napari_msimage.engines import plan_export
from napari_msimage.errors import (
    ArgumentError,
    ArgumentTypeError,
    RegionError,
    UnsupportedError,
)
from napari_msimage.plugin._export_layer import layers_to_export
from napari_msimage.plugin._export_outline import level_box
from napari_msimage.plugin._region_curves import ellipse_outline, ribbon_outline
from napari_msimage.plugin._region_frame import view_state
from napari_msimage.plugin._region_shapes import drawn_shapes, shape_regions

SIZE = (61, 83)
LEVELS = [(61, 83), (35, 48), (19, 26)]


def image(shape=SIZE, levels=None, **arguments):
    levels = levels or [np.zeros(s, np.uint8) for s in LEVELS]
    return Image(levels, multiscale=True, name="tissue", **arguments)


def regions_in(picture, shapes, *, order=None, point=None, planes=None, selected=False):
    viewer = ViewerModel()
    viewer.add_layer(picture)
    viewer.add_layer(shapes)
    if order is not None:
        viewer.dims.order = order
    if point is not None:
        viewer.dims.point = point
    export = layers_to_export([picture])
    drawn = drawn_shapes(shapes, selected=selected)
    return shape_regions(export, drawn, view_state(viewer), planes=planes)


def box_of(picture, region, level=0):
    return level_box(layers_to_export([picture]).source, region, level)


def rectangle(top, left, bottom, right):
    """Corners in a layer without a transform, given as pixel edges."""
    ring = [(top, left), (top, right), (bottom, right), (bottom, left)]
    return np.array(ring) - 0.5


@st.composite
def affines(draw):
    angle = draw(st.floats(0, 2 * np.pi))
    scale = draw(st.tuples(st.floats(0.05, 20), st.floats(0.05, 20)))
    shear = draw(st.floats(-1, 1))
    flip = draw(st.sampled_from([1, -1]))
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine = np.eye(3)
    affine[:2, :2] = turn @ np.array([[flip, shear], [0, 1]]) @ np.diag(scale)
    affine[:2, 2] = draw(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)))
    return affine


# Rectangles


def test_pixel_edges_give_exactly_those_pixels():
    picture = image()
    (region,) = regions_in(picture, Shapes([rectangle(3, 5, 10, 20)]))
    assert (region.lower, region.upper) == ((3, 5), (10, 20))
    assert region.outline is None
    assert box_of(picture, region) == ((3, 10), (5, 20))


@given(affines(), affines(), st.data())
@settings(max_examples=60, deadline=None)
def test_pixel_edges_of_any_level_through_any_transforms(one, other, data):
    level = data.draw(st.integers(0, 2))
    n_rows, n_columns = LEVELS[level]
    top = data.draw(st.integers(0, n_rows - 1))
    bottom = data.draw(st.integers(top + 1, n_rows))
    left = data.draw(st.integers(0, n_columns - 1))
    right = data.draw(st.integers(left + 1, n_columns))
    picture = image(affine=one)
    factors = np.divide(SIZE, LEVELS[level])
    pixels = rectangle(top, left, bottom, right) + 0.5
    world = [picture.data_to_world(c) for c in pixels * factors - 0.5]
    drawn = Shapes(ndim=2, affine=other)
    corners = np.array([drawn.world_to_data(c) for c in world])
    # what 32-bit floats round must stay far below a pixel to mean anything
    off = np.spacing(np.abs(corners).max().astype(np.float32))
    to_pixels = np.linalg.inv(one[:2, :2]) @ other[:2, :2]
    assume(np.abs(to_pixels).sum(axis=1).max() * off < 0.01)
    drawn.add_polygons([corners])
    (region,) = regions_in(picture, drawn)
    assert box_of(picture, region, level) == ((top, bottom), (left, right))


@given(affines(), st.data())
@settings(max_examples=50, deadline=None)
def test_turned_polygons_cover_what_brute_force_says(affine, data):
    picture = image(affine=affine)
    numbers = st.integers(-40, 400).map(lambda n: n / 4)
    polygon = data.draw(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=6))
    assume(shapely.Polygon(polygon).is_valid and shapely.Polygon(polygon).area > 1)
    world = np.array([picture.data_to_world(np.array(c) - 0.5) for c in polygon])
    box = shapely.box(0, 0, *SIZE)
    assume(shapely.Polygon(polygon).intersection(box).area > 0.01)
    level = data.draw(st.integers(0, 2))
    (region,) = regions_in(picture, Shapes([world], shape_type="polygon"))
    rows, columns = LEVELS[level]
    whole = shapely.Polygon(polygon)
    bounds = np.array(whole.bounds).reshape(2, 2)
    found = box_of(picture, region, level)
    for axis, size in enumerate((rows, columns)):
        factor = SIZE[axis] / size
        covered = [
            index
            for index in range(size)
            if min((index + 1) * factor, bounds[1, axis])
            - max(index * factor, bounds[0, axis])
            > 1e-2
        ]
        start, stop = found[axis]
        # corners were rounded to 32 bits on their way: slivers may or may not count
        assert set(covered) <= set(range(start, stop))
        assert stop - start <= len(covered) + 2
        low, high = bounds[0, axis] / factor, bounds[1, axis] / factor
        assert start >= np.floor(max(0, low) - 1e-2)
        assert stop <= np.ceil(min(size, high) + 1e-2)
    if region.outline is not None:
        assert np.abs(region.outline - np.array(polygon)).max() < 1e-2


def test_corners_far_out_are_snapped_although_napari_rounds_them():
    # 0.325 um per pixel and 30 000 pixels out: 32-bit floats are 0.003 pixels off
    levels = [np.broadcast_to(np.uint8(0), (40_000, 50_000))]
    picture = image(levels=levels, scale=(0.325, 0.325))
    world = (rectangle(30_001, 29_999, 30_007, 30_011)) * 0.325
    assert (np.float32(world) != world).any()
    (region,) = regions_in(picture, Shapes([world]))
    assert (region.lower, region.upper) == ((30_001, 29_999), (30_007, 30_011))
    assert region.outline is None


def test_partly_outside_is_cut_off_and_fully_outside_refused():
    picture = image()
    (region,) = regions_in(picture, Shapes([rectangle(-10, 50, 10, 200)]))
    assert (region.lower, region.upper) == ((0, 50), (10, 83))
    with pytest.raises(RegionError, match=r"'0' of 'Shapes' lies outside of 'tissue'"):
        regions_in(picture, Shapes([rectangle(0, 90, 10, 99)]))


def test_flat_rectangles_are_refused():
    with pytest.raises(RegionError, match="has no extent along 'y'"):
        regions_in(image(), Shapes([rectangle(3, 5, 3, 20)]))


# Curves


@given(
    st.lists(st.integers(-800, 800), min_size=6, max_size=6),
)
@settings(max_examples=100, deadline=None)
def test_ellipses_are_within_a_tenth_of_a_pixel(values):
    center, one, other = np.reshape(values, (3, 2)) / 16
    assume(one.any() or other.any())
    corners = np.array(
        [
            center - one - other,
            center + one - other,
            center + one + other,
            center - one + other,
        ]
    )
    outline, lower, upper = ellipse_outline(corners)
    angles = np.linspace(0, 2 * np.pi, 5001)
    curve = center + np.outer(np.cos(angles), one) + np.outer(np.sin(angles), other)
    assert np.allclose(curve.min(axis=0), lower, atol=1e-3)
    assert np.allclose(curve.max(axis=0), upper, atol=1e-3)
    ring = shapely.LinearRing(outline)
    assert max(ring.distance(shapely.Point(p)) for p in curve[::50]) < 0.1


def test_huge_ellipses_are_within_a_tenth_of_a_pixel():
    corners = np.array([(0, 0), (0, 80_000), (60_000, 80_000), (60_000, 0)], float)
    outline, lower, upper = ellipse_outline(corners)
    assert (lower.tolist(), upper.tolist()) == ([0, 0], [60_000, 80_000])
    middles = (outline + np.roll(outline, 1, axis=0)) / 2
    scaled = (middles - (30_000, 40_000)) / (30_000, 40_000)
    assert (1 - np.hypot(*scaled.T)).max() * 40_000 < 0.1


def test_ellipse_of_a_layer():
    picture = image(scale=(0.5, 0.5))
    corners = (np.array([(10, 20), (10, 40), (30, 40), (30, 20)]) - 0.5) * 0.5
    (region,) = regions_in(picture, Shapes([corners], shape_type="ellipse"))
    assert region.lower == pytest.approx((10, 20))
    assert region.upper == pytest.approx((30, 40))
    radius = np.hypot(*(region.outline - (20, 30)).T)
    assert radius == pytest.approx(10, abs=1e-3)


# Paths


def test_paths_have_their_edge_width():
    picture = image(scale=(2, 2))
    shapes = Shapes(
        [np.array([(10, 10), (10, 40)])],
        shape_type="path",
        edge_width=3,
        scale=(2, 2),
    )
    (region,) = regions_in(picture, shapes)
    assert (region.lower, region.upper) == ((9, 10.5), (12, 40.5))


def test_lines_of_no_width_are_refused():
    shapes = Shapes([[(10, 10), (20, 40)]], shape_type="line", edge_width=0)
    with pytest.raises(RegionError, match="has no area: its edge width is 0"):
        regions_in(image(), shapes)


def test_paths_that_stay_in_place_are_refused():
    shapes = Shapes([[(10, 10), (10, 10)]], shape_type="path", edge_width=2)
    with pytest.raises(RegionError, match="has no area"):
        regions_in(image(), shapes)


points = st.tuples(st.integers(0, 60), st.integers(0, 60))


@given(st.lists(points, min_size=2, max_size=6, unique=True), st.floats(0.5, 6))
@settings(max_examples=60, deadline=None)
def test_ribbons_are_what_napari_draws(path, width):
    path = np.array(path, float)
    steps = np.diff(path, axis=0)
    # napari draws short, sharply bent paths with artefacts
    assume(np.hypot(*steps.T).min() > 2 * width)
    cosines = (steps[1:] * steps[:-1]).sum(axis=1)
    cosines /= np.hypot(*steps[1:].T) * np.hypot(*steps[:-1].T)
    assume((cosines > -0.7).all())
    layer = Shapes([path], shape_type="path", edge_width=width)
    mesh = layer._data_view.shapes[0]
    vertices = mesh._edge_vertices + width * mesh._edge_offsets
    drawn = shapely.union_all(
        [shapely.Polygon(vertices[list(t)]) for t in mesh._edge_triangles]
    )
    outline = shapely.make_valid(shapely.Polygon(ribbon_outline(path, width)))
    assert outline.symmetric_difference(drawn).area < 1e-3 * drawn.area


def test_holes_of_a_closed_path_stay_out():
    ring = np.array([(5, 5), (5, 55), (55, 55), (55, 5), (5, 6)], float)
    outline = ribbon_outline(ring, 2.0)
    from skimage.draw import polygon2mask

    mask = polygon2mask((61, 61), outline)
    assert mask[5, 30]
    assert mask[30, 55]
    assert not mask[30, 30]
    assert not mask[1, 1]


# Dimensions


def volume(**arguments):
    levels = [np.zeros(s, np.uint8) for s in [(9, 61, 83), (5, 31, 42)]]
    return image(levels=levels, **arguments)


def in_plane(plane, axis, ring):
    return np.insert(ring, axis, plane, axis=1)


def test_shapes_of_a_volume_lie_in_their_plane():
    picture = volume(scale=(3, 1, 1))
    shapes = Shapes([in_plane(12, 0, rectangle(3, 5, 10, 20))])
    (region,) = regions_in(picture, shapes, point=(0, 0, 0))
    assert box_of(picture, region) == ((4, 5), (3, 10), (5, 20))
    (region,) = regions_in(picture, shapes, planes="all")
    assert box_of(picture, region) == ((0, 9), (3, 10), (5, 20))
    (region,) = regions_in(picture, shapes, planes=(2, 4))
    assert box_of(picture, region) == ((2, 4), (3, 10), (5, 20))


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0)])
def test_shapes_are_taken_in_the_order_displayed(order):
    picture = volume()
    across, *shown = order
    edges = [(2, 6), (3, 10), (5, 20)]
    ring = np.zeros((4, 3))
    ring[:, across] = edges[across][0]
    (top, bottom), (left, right) = (edges[axis] for axis in shown)
    ring[:, shown] = rectangle(top, left, bottom, right)
    (region,) = regions_in(picture, Shapes([ring]), order=order, point=(0, 0, 0))
    edges[across] = (edges[across][0], edges[across][0] + 1)
    assert box_of(picture, region) == tuple(edges)
    assert list(region.outline_axes) == sorted(shown)


def test_outlines_name_the_axes_they_lie_in():
    triangle = np.array([(2, 30), (7, 30), (2, 60)], float)
    shapes = Shapes([np.insert(triangle, 1, 17, axis=1)], shape_type="polygon")
    (region,) = regions_in(volume(), shapes, order=(1, 0, 2))
    assert region.outline_axes == (0, 2)
    assert np.allclose(region.outline, triangle + 0.5)
    (region,) = regions_in(volume(), shapes, order=(1, 2, 0))
    assert region.outline_axes == (0, 2)
    assert np.allclose(region.outline, triangle + 0.5)


@pytest.mark.parametrize("size", [1, 1e-6, 1e4])
def test_shapes_in_other_dimensions_are_refused(size):
    # coordinates in metres are small, those in nanometres large
    ring = in_plane(17, 1, rectangle(2, 5, 6, 20)) * size
    picture = volume(scale=(size,) * 3)
    with pytest.raises(RegionError, match="in other dimensions than those displayed"):
        regions_in(picture, Shapes([ring]), order=(0, 1, 2))
    far = ring + np.array([0, 1e6 * size, 0])
    with pytest.raises(RegionError, match="in other dimensions than those displayed"):
        regions_in(picture, Shapes([far]), order=(0, 1, 2))


def test_flat_shapes_on_a_volume_take_the_current_plane():
    picture = volume()
    shapes = Shapes([rectangle(3, 5, 10, 20)])
    (region,) = regions_in(picture, shapes, point=(6, 0, 0))
    assert box_of(picture, region) == ((6, 7), (3, 10), (5, 20))


def test_shapes_of_a_volume_on_a_flat_image():
    shapes = Shapes([in_plane(4, 0, rectangle(3, 5, 10, 20))])
    picture = image()
    (region,) = regions_in(picture, shapes)
    assert box_of(picture, region) == ((3, 10), (5, 20))


def test_the_3d_view_is_refused():
    viewer = ViewerModel(ndisplay=3)
    picture = volume()
    viewer.add_layer(picture)
    drawn = drawn_shapes(Shapes([rectangle(3, 5, 10, 20)]))
    with pytest.raises(UnsupportedError, match="3-D view"):
        shape_regions(layers_to_export([picture]), drawn, view_state(viewer))


# Which shapes, and their names


def test_selected_shapes():
    shapes = Shapes([rectangle(i, i, i + 5, i + 5) for i in (0, 10, 20)])
    shapes.selected_data = {2, 0}
    found = regions_in(image(), shapes, selected=True)
    assert [(r.name, r.lower) for r in found] == [("0", (0, 0)), ("2", (20, 20))]
    shapes.selected_data = set()
    with pytest.raises(ArgumentError, match="No shape of 'Shapes' is selected"):
        drawn_shapes(shapes, selected=True)


def test_no_shapes():
    with pytest.raises(ArgumentError, match="'Shapes' has no shapes"):
        drawn_shapes(Shapes())
    with pytest.raises(ArgumentTypeError, match="got Image"):
        drawn_shapes(image())


RINGS = [rectangle(0, 0, 5, 5), rectangle(10, 10, 15, 15)]


@pytest.mark.parametrize(
    ("features", "text", "names"),
    [
        (None, None, ("0", "1")),
        ({"label": ["tumour", ""]}, None, ("tumour", "1")),
        ({"area": [1.5, 2.5]}, None, ("0", "1")),
        ({"area": [1.5, 2.5], "class": ["a", "b"]}, None, ("a", "b")),
        ({"other": ["x", "y"], "Name": ["a", "b"]}, None, ("a", "b")),
        ({"label": ["a", "b"], "n": [7, 8]}, "no. {n}", ("no. 7", "no. 8")),
        ({"label": ["a", None]}, None, ("a", "1")),
    ],
    ids=["none", "label", "numbers", "words", "name", "text", "missing"],
)
def test_names_of_shapes(features, text, names):
    shapes = Shapes(RINGS, features=features, text=text)
    assert drawn_shapes(shapes).labels == names


def test_properties_of_shapes_go_into_names_of_files(tmp_path):
    features = {"class": ["gland", None], "score": [0.5, np.nan], "n": [3, 4]}
    layer, shapes = image(), Shapes(RINGS, features=features)
    drawn = drawn_shapes(shapes)
    assert dict(drawn.properties[1]) == {"class": "", "score": "", "n": 4}
    regions = regions_in(layer, shapes)
    source = layers_to_export([layer]).source
    path = tmp_path / "{class}_{score}_{n:02}.npy"
    plan = plan_export(source, path, region=list(regions))
    names = [os.path.basename(file.path) for file in plan.files]
    assert names == ["gland_0.5_03.npy", "____04.npy"]
