"""Where a scene puts an image: registered transforms to layers, in numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image

from napari_msimage.coordinates import (
    AffineTransform,
    Axis,
    CoordinateSpace,
    IdentityTransform,
    ScaleTransform,
    UniformScaleTransform,
)
from napari_msimage.errors import ArgumentError, FormatError
from napari_msimage.plugin._layer_transform import placement_arguments
from napari_msimage.plugin._scene_place import (
    matrix_in_scene,
    own_space,
    shared_space,
)

SIZES = {"u": 130, "v": 97, "w": 31}
SCENE, IMAGE = ("x", "y", "z"), ("u", "v", "w")


def space(names, *units):
    units = units or (None,) * len(names)
    return CoordinateSpace(tuple(map(Axis, names, units)))


def floats(low, high, n):
    return st.lists(st.floats(low, high), min_size=n, max_size=n).map(np.array)


@st.composite
def transforms(draw):
    """Return a transform from scene to image that can be inverted well."""
    n = draw(st.sampled_from([1, 2, 3]))
    axes = (SCENE[:n], IMAGE[:n])
    factors = 10 ** draw(floats(-3, 3, n))
    kind = draw(st.sampled_from(["identity", "uniform", "scale", "affine"]))
    if kind == "identity":
        return IdentityTransform(*axes)
    if kind == "uniform":
        return UniformScaleTransform(*axes, float(factors[0]))
    if kind == "scale":
        return ScaleTransform(*axes, factors)
    linear, _ = np.linalg.qr(np.eye(n) + draw(floats(-0.3, 0.3, n * n)).reshape(n, n))
    shift = draw(floats(-1e4, 1e4, n))
    return AffineTransform(*axes, np.column_stack((linear * factors, shift)))


@given(transforms())
@settings(max_examples=60, deadline=None)
def test_corners_of_the_layer_are_those_of_the_image_in_the_scene(transform):
    n = len(transform.input_axes)
    sizes = [SIZES[name] for name in transform.output_axes]
    matrix = matrix_in_scene(transform, space(SCENE[:n]), space(IMAGE[:n]))
    shape = [1] * (2 - n) + sizes[::-1]
    arguments = placement_arguments(None, matrix, len(shape))
    layer = Image(np.zeros(shape, "uint8"), rgb=False, **arguments)

    rows = len(shape) - n  # napari shows one axis as a row
    for corner in itertools.product(*((0, size) for size in sizes)):
        index = [-0.5] * rows + [edge - 0.5 for edge in reversed(corner)]
        world = np.array(layer.data_to_world(index))[rows:]
        (back,) = transform.transform_points([world[::-1]])
        # in pixels of the image; the transform's own numbers are rounded as well
        size = np.abs(transform.augmented_matrix).max() * (1 + np.abs(world).max())
        assert np.abs(back - corner).max() <= 1e-9 + 1e-15 * size
    if isinstance(transform, ScaleTransform):
        assert "affine" not in arguments


def test_scales_become_scale_and_translate():
    matrix = matrix_in_scene(
        ScaleTransform(("x", "y"), ("u", "v"), [0.5, 0.25]),
        space(("x", "y")),
        space(("u", "v")),
    )
    assert placement_arguments(None, matrix, 2) == {
        "scale": (4.0, 2.0),
        "translate": (2.0, 1.0),
    }


@pytest.mark.parametrize(
    ("scene", "image"),
    [(("y", "x"), ("u", "v")), (("x", "y"), ("v", "u")), (("x", "y", "z"), ("u", "v"))],
    ids=["order of the scene", "order of the image", "number"],
)
def test_other_axes_are_refused(scene, image):
    transform = IdentityTransform(("x", "y"), ("u", "v"))
    with pytest.raises(FormatError, match=r"leads from .*'x', 'y'.* but scene and"):
        matrix_in_scene(transform, space(scene), space(image))


@pytest.mark.parametrize(
    "linear",
    [np.zeros((2, 2)), [[1, 2], [2, 4]], [[0.1, 0.2], [0.3, 0.6]]],
    ids=["zero", "singular", "singular but for rounding"],
)
def test_flattening_transforms_are_refused(linear):
    transform = AffineTransform(("x", "y"), ("u", "v"), linear)
    with pytest.raises(ArgumentError, match="Cannot invert"):
        matrix_in_scene(transform, space(("x", "y")), space(("u", "v")))


@pytest.mark.parametrize(
    "transform",
    [
        UniformScaleTransform(("x", "y"), ("u", "v"), 1e200),
        AffineTransform(("x", "y"), ("u", "v"), [[1, 0, 1e308], [0, 1, 0]]),
        AffineTransform(
            ("x", "y"), ("u", "v"), [[1e308, 1e308, 0], [1e308, -1e308, 0]]
        ),
    ],
    ids=["tiny pixels", "far away", "huge numbers"],
)
def test_transforms_that_napari_cannot_calculate_with_are_refused(transform):
    with pytest.raises(ArgumentError, match="too large or too small"):
        matrix_in_scene(transform, space(("x", "y")), space(("u", "v")))


def test_without_a_place_names_are_kept_and_units_are_the_worlds():
    world = space(("x", "y"), "micrometer", "micrometer")
    own = own_space(space(("a", "b", "c"), "mm", None, "second"), world)
    assert own == space(("a", "b", "c"), "micrometer", "micrometer", "second")
    assert own_space(own, None) is own


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ([("um", "um"), ("micrometer", "um")], None),
        ([("um", "um"), ("um", "um", "um")], None),
        ([("um", "um"), ("mm", "um")], (None, None)),
        ([("um", "um"), (None, None)], (None, None)),
    ],
    ids=["same", "same as far as they go", "other", "with and without"],
)
def test_images_of_no_scene_share_units_or_have_none(units, expected):
    spaces = [space(("x", "y", "z")[: len(each)], *each) for each in units]
    shared = shared_space(spaces)
    found = None if shared is None else tuple(axis.unit for axis in shared.axes)
    assert found == expected
