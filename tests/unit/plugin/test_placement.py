"""Where layers lie: napari's affine to SOMA's transform and back, in numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.layers import Image

from napari_msimage.coordinates import (
    AffineTransform,
    IdentityTransform,
    ScaleTransform,
    UniformScaleTransform,
)
from napari_msimage.errors import ArgumentError
from napari_msimage.plugin import _placement
from napari_msimage.plugin._hint_fields import Placement
from napari_msimage.plugin._layer_transform import (
    attributes_to_placement,
    placement_arguments,
    placement_to_matrix,
    rescale_placement,
    trim_placement,
    zoom_placement,
)

AXES = ("x", "y", "z")
SHAPE = (31, 97, 130)


def numbers(low, high, n):
    return st.lists(st.floats(low, high), min_size=n, max_size=n)


@st.composite
def transforms(draw, largest_shift=1e6):
    """Return a layer's transform as napari's arguments, and the number of axes."""
    n = draw(st.sampled_from([2, 3]))
    scale = draw(st.lists(st.floats(-3, 3), min_size=n, max_size=n))
    arguments = {"scale": [10**power for power in scale]}
    arguments["translate"] = draw(numbers(-largest_shift, largest_shift, n))
    if draw(st.booleans()):
        angles = draw(numbers(-180, 180, 3))
        arguments["rotate"] = angles[0] if n == 2 else angles
    if draw(st.booleans()):
        arguments["shear"] = draw(numbers(-1, 1, n * (n - 1) // 2))
    if draw(st.booleans()):
        linear = np.eye(n) + np.array(draw(numbers(-0.3, 0.3, n * n))).reshape(n, n)
        shift = draw(numbers(-largest_shift, largest_shift, n))
        arguments["affine"] = _placement.augmented(linear, shift)
    return arguments, n


def corners(matrix):
    n = len(matrix) - 1
    ends = [(-0.5, size - 0.5) for size in SHAPE[-n:]]
    points = np.array([(*corner, 1) for corner in itertools.product(*ends)])
    return (points @ matrix.T)[:, :-1]


def assert_same_corners(matrix, expected):
    here, there = corners(matrix), corners(expected)
    extent = np.ptp(there, axis=0).max()
    assert np.abs(here - there).max() <= 1e-9 * extent


@given(transforms())
def test_corners_survive_the_way_through_soma(case):
    arguments, n = case
    placement = attributes_to_placement(arguments, n, "The layer")
    matrix = _placement.check_matrix(placement_to_matrix(placement, n), "The layer")
    transform = _placement.matrix_to_transform(matrix, AXES[:n], AXES[:n])
    assert_same_corners(_placement.transform_to_matrix(transform), matrix)


@given(transforms())
def test_a_transform_says_where_pixels_are(case):
    arguments, n = case
    placement = attributes_to_placement(arguments, n, "The layer")
    matrix = placement_to_matrix(placement, n)
    transform = _placement.matrix_to_transform(matrix, AXES[:n], AXES[:n])
    world = corners(matrix)[:, ::-1]
    found = transform.transform_points(world)[:, ::-1]
    # a corner of pixel 0 is at 0 in image coordinates
    expected = corners(np.eye(n + 1)) + 0.5
    shift = np.abs(matrix[:-1, -1]).max() * np.abs(np.linalg.inv(matrix)).max()
    np.testing.assert_allclose(found, expected, atol=1e-9 * 130 + 1e-14 * shift)


@given(transforms(largest_shift=1e9))
def test_what_was_remembered_comes_back_as_it_was(case):
    arguments, n = case
    placement = attributes_to_placement(arguments, n, "The layer")
    matrix = placement_to_matrix(placement, n)
    transform = _placement.matrix_to_transform(matrix, AXES[:n], AXES[:n])
    stored = _placement.transform_to_matrix(transform)
    trimmed = trim_placement(placement, n)
    again = Placement.model_validate_json(trimmed.model_dump_json())
    found = placement_arguments(again, stored, n)
    data = np.zeros(SHAPE[-n:], np.uint8)
    one, other = Image(data, **arguments), Image(data, **found)
    for name in ("scale", "translate", "rotate", "shear"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert np.array_equal(one.affine.affine_matrix, other.affine.affine_matrix)


@given(transforms())
def test_the_matrix_is_napari_s(case):
    arguments, n = case
    layer = Image(np.zeros(SHAPE[-n:], np.uint8), **arguments)
    state = layer.as_layer_data_tuple()[1]
    for given_as in (arguments, state):
        placement = attributes_to_placement(given_as, n, "The layer")
        matrix = placement_to_matrix(placement, n)
        expected = layer._data_to_world.affine_matrix
        np.testing.assert_allclose(matrix, expected, rtol=1e-12, atol=1e-12)


@given(transforms(), st.floats(0.1, 3000))
def test_without_a_memory_the_stored_place_is_used(case, step):
    arguments, n = case
    placement = attributes_to_placement(arguments, n, "The layer")
    matrix = placement_to_matrix(placement, n)
    moved = matrix.copy()
    moved[:-1, -1] += step * np.abs(matrix[:-1, :-1]).max()
    for memory in (None, placement):
        found = placement_arguments(memory, moved, n)
        again = attributes_to_placement(found, n, "The layer")
        assert np.array_equal(placement_to_matrix(again, n), moved)


def transform_of(scale, translate):
    matrix = _placement.augmented(np.diag(scale), translate)
    return _placement.matrix_to_transform(matrix, ("x", "y"), ("x", "y"))


def test_the_simplest_transform_is_stored():
    assert type(transform_of((1, 1), (0.5, 0.5))) is IdentityTransform
    uniform = transform_of((4, 4), (2, 2))
    assert type(uniform) is UniformScaleTransform
    assert uniform.scale == 0.25
    # napari's y is the second axis of SOMA
    scale = transform_of((0.325, 2), (0.1625, 1))
    assert type(scale) is ScaleTransform
    assert scale.scale_factors.tolist() == [0.5, 1 / 0.325]
    assert type(transform_of((1, 1), (0, 0))) is AffineTransform
    assert type(transform_of((2, 2), (1, 1.1))) is AffineTransform


def test_rounding_of_units_does_not_make_an_offset():
    matrix = _placement.augmented(np.diag([0.325, 0.325]), (0.1625, 0.1625))
    converted = _placement.convert_world(matrix, (1000.0000000000001, 1e3))
    converted[0, -1] *= 1 + 1e-15
    transform = _placement.matrix_to_transform(converted, ("x", "y"), ("x", "y"))
    assert isinstance(transform, ScaleTransform)


@pytest.mark.parametrize(
    ("scale", "translate", "expected"),
    [
        ((1, 1), (0, 0), True),
        ((1, 1), (0.5, 0.5), True),
        ((1, 1), (0, 0.5), False),
        ((1, 1), (1, 1), False),
        ((1, 2), (0, 0), False),
        ((1, -1), (0, 0), False),
    ],
)
def test_what_is_the_pixel_grid(scale, translate, expected):
    matrix = _placement.augmented(np.diag(scale), translate)
    assert _placement.is_pixel_grid(matrix) is expected


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(value):
    matrix = _placement.augmented(np.eye(2), (0, value))
    with pytest.raises(ArgumentError, match=r"^Layer 'a' has .* not finite"):
        _placement.check_matrix(matrix, "Layer 'a'")


@pytest.mark.parametrize("linear", [[[1, 0], [0, 0]], [[1, 2], [2, 4]], [[0, 0]] * 2])
def test_flat_transforms_are_refused(linear):
    matrix = _placement.augmented(linear, (3, 4))
    with pytest.raises(ArgumentError, match=r"^Layer 'a' has a singular transform"):
        _placement.check_matrix(matrix, "Layer 'a'")


@pytest.mark.parametrize(
    "arguments",
    [
        {"scale": (1, 2, 3, 4)},
        {"rotate": np.eye(4)},
        {"affine": np.eye(5)},
        {"affine": "x"},
        {"shear": [[1, 2], [3, 1]]},
    ],
    ids=str,
)
def test_transforms_for_other_axes_are_refused(arguments):
    with pytest.raises(ArgumentError, match=r"Layer 'a' has 2 axes, and a transform"):
        attributes_to_placement(arguments, 2, "Layer 'a'")


def test_a_coarser_level_covers_the_same_extent():
    layer = Image(np.zeros((96, 130), np.uint8), scale=(2, 3), translate=(7, -5))
    matrix = layer._data_to_world.affine_matrix
    coarse = _placement.level_matrix(matrix, (96, 130), (24, 65))
    # the low edge of pixel 0, the high edge of the last one
    for low, high in (((-0.5, -0.5, 1),) * 2, ((95.5, 129.5, 1), (23.5, 64.5, 1))):
        np.testing.assert_allclose(coarse @ high, matrix @ low)
    zoomed = zoom_placement(
        attributes_to_placement({"scale": (2, 3), "translate": (7, -5)}, 2, ""), (4, 2)
    )
    np.testing.assert_allclose(placement_to_matrix(zoomed, 2), coarse)


def test_turned_layers_forget_their_numbers_when_zoomed():
    turned = attributes_to_placement({"rotate": 30}, 2, "")
    assert zoom_placement(turned, (2, 2)) is None


@given(transforms(largest_shift=1e4))
def test_other_units_are_the_same_place(case):
    arguments, n = case
    placement = attributes_to_placement(arguments, n, "")
    expected = _placement.convert_world(placement_to_matrix(placement, n), (1e3,) * n)
    found = rescale_placement(placement, (1e3,) * n)
    assert _placement.is_same_place(expected, placement_to_matrix(found, n))
    assert rescale_placement(placement, (1, 2, 3)[:n]) is None


def test_a_memory_of_translate_0_places_an_image_alone():
    assert placement_arguments(Placement(), None, 2)["translate"] == (0, 0)
    assert placement_arguments(None, None, 2)["translate"] == (0.5, 0.5)
    # anything else would be somewhere the store does not say
    elsewhere = Placement(translate=(0.0, 3.0))
    assert placement_arguments(elsewhere, None, 2)["translate"] == (0.5, 0.5)


@pytest.mark.parametrize(
    "memory",
    [
        Placement(scale=(1.0, 2.0, 3.0)),
        Placement(rotate=((1.0,),)),
        Placement(affine=((1.0, 0.0), (0.0, 1.0, 2.0))),
        Placement(shear=((1.0, 2.0), (3.0, 1.0))),
        Placement(scale=(0.0, 0.0)),
    ],
    ids=str,
)
def test_a_memory_that_makes_no_sense_is_ignored(memory):
    found = placement_arguments(memory, None, 2)
    assert found == {"scale": (1, 1), "translate": (0.5, 0.5)}


def test_an_image_with_one_axis_lies_in_its_row():
    found = placement_arguments(None, _placement.augmented([[3]], [7]), 2)
    assert found == {"scale": (1, 3), "translate": (0.5, 7)}


@pytest.mark.parametrize("n_axes", [2, 3])
def test_an_image_alone_lies_with_its_edge_at_the_origin(n_axes):
    matrix = _placement.image_matrix(n_axes)
    corner = [*(-0.5,) * n_axes, 1]
    assert (matrix @ corner)[:-1].tolist() == [0.0] * n_axes
    assert _placement.is_pixel_grid(matrix)
    axes = ("x", "y", "z")[:n_axes]
    transform = _placement.matrix_to_transform(matrix, axes, axes)
    assert isinstance(transform, IdentityTransform)


@pytest.mark.parametrize("factors", [(1.0, 1.0), (2.0, 4.0), (1.5, 8.0)])
def test_levels_share_their_first_edge(factors):
    offset = _placement.level_offset(factors)
    edges = offset - np.asarray(factors) / 2
    assert edges.tolist() == [-0.5, -0.5]
