"""Boxes, and upstream's documented region reads worked through by hand."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from napari_msimage.coordinates import (
    AffineTransform,
    Box,
    IdentityTransform,
    Region,
    ScaleTransform,
    UniformScaleTransform,
    block_transform,
    region_to_soma_box,
    transform_region,
)
from napari_msimage.errors import (
    ArgumentError,
    ArgumentTypeError,
    UnsupportedError,
)

XY = ("x", "y")


class TestBox:
    def test_bounds_become_plain_integers(self):
        box = Box([np.int64(1), 2], np.array([4, 2]))
        assert repr(box) == "Box(start=(1, 2), stop=(4, 2))"
        assert box.shape == (3, 0)
        assert box.is_empty

    def test_a_box_with_pixels_is_not_empty(self):
        assert not Box((0, 0), (1, 1)).is_empty

    @pytest.mark.parametrize(
        ("start", "stop"),
        [((1, 2), (3,)), ((3,), (2,)), ((-1,), (2,))],
        ids=["length", "order", "negative"],
    )
    def test_wrong_bounds_are_refused(self, start, stop):
        with pytest.raises(ArgumentError, match="0 <= start <= stop"):
            Box(start, stop)

    @pytest.mark.parametrize("start", [3, (1.0,), ("1",), (True,), None])
    def test_what_is_no_integer_is_refused(self, start):
        with pytest.raises(ArgumentTypeError, match="expected a sequence of integers"):
            Box(start, (4,))

    @pytest.mark.parametrize(
        ("permutation", "expected"),
        [
            ((1, 0), (slice(3, 9), slice(2, 5))),
            ((0, 1), (slice(2, 5), slice(3, 9))),
            ((2, 1, 0), (slice(None), slice(3, 9), slice(2, 5))),
            ((1, 0, 2), (slice(3, 9), slice(2, 5), slice(None))),
        ],
        ids=["yx", "xy", "cyx", "yxc"],
    )
    def test_slices_are_in_data_axis_order(self, permutation, expected):
        assert Box((2, 3), (5, 9)).to_slices(permutation) == expected

    @pytest.mark.parametrize("permutation", [(0,), (0, 0), (0, 1, 3), (0, 1, 2, 3)])
    def test_wrong_permutation_is_refused(self, permutation):
        with pytest.raises(ArgumentError, match="axis permutation is"):
            Box((2, 3), (5, 9)).to_slices(permutation)


def picture(shape_yx):
    """Image whose pixels tell where they are: 100 * y + x."""
    rows, columns = np.indices(shape_yx)
    return 100 * rows + columns


SHAPES_YX = {"0": (10, 20), "1": (5, 10), "odd": (3, 7)}
TO_LEVEL = {
    "0": IdentityTransform(XY, XY),
    "1": ScaleTransform(XY, XY, [0.5, 0.5]),
    "odd": ScaleTransform(XY, XY, [7 / 20, 3 / 10]),
}
AB = ("a", "b")
DOUBLE = ScaleTransform(AB, XY, [2, 2])
# level, region, region transform -> shape, first, last pixel, class, diagonal, shift
READS = [
    ("0", (0, 0, 20, 10), None, (10, 20), 0, 919, "Identity", (1, 1), (0, 0)),
    ("0", (0, 0, 19, 9), None, (10, 20), 0, 919, "Identity", (1, 1), (0, 0)),
    ("0", (0, 0, 18.999, 8.999), None, (10, 20), 0, 919, "Identity", (1, 1), (0, 0)),
    ("0", (0, 0, 0, 0), None, (1, 1), 0, 0, "Identity", (1, 1), (0, 0)),
    ("0", (2, 3, 4, 5), None, (3, 3), 302, 504, "Affine", (1, 1), (2, 3)),
    ("0", (4, 5, 2, 3), None, (3, 3), 302, 504, "Affine", (1, 1), (2, 3)),
    ("0", (2.2, 3.7, 4.1, 5.5), None, (4, 4), 302, 605, "Affine", (1, 1), (2, 3)),
    ("0", (2.5, 3.5, 2.5, 3.5), None, (2, 2), 302, 403, "Affine", (1, 1), (2, 3)),
    ("0", shapely.Point(2.5, 3.5), None, (2, 2), 302, 403, "Affine", (1, 1), (2, 3)),
    ("0", (-5, -5, 3, 3), None, (4, 4), 0, 303, "Identity", (1, 1), (0, 0)),
    ("0", (-0.5, -0.5, 0.5, 0.5), None, (2, 2), 0, 101, "Identity", (1, 1), (0, 0)),
    ("0", (15, 5, 100, 100), None, (5, 5), 515, 919, "Affine", (1, 1), (15, 5)),
    ("0", (19, 9, 30, 30), None, (1, 1), 919, 919, "Affine", (1, 1), (19, 9)),
    ("0", (19.5, 9.5, 30, 30), None, (1, 1), 919, 919, "Affine", (1, 1), (19, 9)),
    ("1", (2, 4, 6, 8), None, (3, 3), 201, 403, "Affine", (2, 2), (2, 4)),
    ("1", (3, 5, 7, 9), None, (3, 4), 201, 404, "Affine", (2, 2), (2, 4)),
    ("1", (0, 0, 1, 1), None, (2, 2), 0, 101, "Scale", (2, 2), (0, 0)),
    (
        *("odd", (3, 5, 7, 9), None, (2, 3), 101, 203, "Affine"),
        *((20 / 7, 10 / 3), (20 / 7, 10 / 3)),
    ),
    ("0", (1, 1, 4, 4), DOUBLE, (7, 7), 202, 808, "Affine", (0.5, 0.5), (1, 1)),
    ("1", (1, 1, 4, 4), DOUBLE, (4, 4), 101, 404, "Affine", (1, 1), (1, 1)),
    (
        *("0", (-4, 1, -1, 4), ScaleTransform(XY, XY, [-1, 1]), (4, 4), 101, 404),
        *("Affine", (-1, 1), (-1, 1)),
    ),
]


@pytest.mark.parametrize(
    (
        "level",
        "value",
        "through",
        "shape",
        "first",
        "last",
        "kind",
        "diagonal",
        "shift",
    ),
    READS,
    ids=[f"level {row[0]}, {row[1]}" for row in READS],
)
def test_region_reads_as_upstream(
    level, value, through, shape, first, last, kind, diagonal, shift
):
    to_level = TO_LEVEL[level] if through is None else TO_LEVEL[level] @ through
    shape_yx = SHAPES_YX[level]
    region = transform_region(Region.from_value(value, 2), to_level)
    box = region_to_soma_box(region, shape_yx[::-1])
    block = picture(shape_yx)[box.to_slices((1, 0))]
    assert (block.shape, block[0, 0], block[-1, -1]) == (shape, first, last)

    back = block_transform(to_level, box)
    assert type(back).__name__ == f"{kind}Transform"
    expected = np.diag([*diagonal, 1.0])
    expected[:-1, -1] = shift
    np.testing.assert_allclose(back.augmented_matrix, expected, atol=1e-12)
    assert (back.input_axes, back.output_axes) == (XY, to_level.input_axes)


@pytest.mark.parametrize(
    "bounds", [(20, 10, 30, 30), (25, 15, 30, 30), (-5, -5, -2, -2)]
)
def test_region_off_the_image_is_refused_as_upstream(bounds):
    with pytest.raises(ValueError, match="does not overlap"):
        region_to_soma_box(Region.from_value(bounds, 2), (20, 10))


class TestBlockTransform:
    def test_whole_level_inverts_the_transform(self):
        back = block_transform(TO_LEVEL["1"] @ ScaleTransform(AB, XY, [2, 4]))
        assert type(back) is ScaleTransform
        assert back.scale_factors.tolist() == [1.0, 0.5]
        assert (back.input_axes, back.output_axes) == (XY, AB)

    @pytest.mark.parametrize("box", [None, Box((0, 0), (3, 4))])
    @pytest.mark.parametrize(
        "transform",
        [
            IdentityTransform(XY, AB),
            UniformScaleTransform(XY, AB, 2),
            ScaleTransform(XY, AB, [2, 3]),
            AffineTransform(XY, AB, [[0, 1, 4], [2, 0, 5]]),
        ],
        ids=lambda transform: type(transform).__name__,
    )
    def test_block_at_the_first_pixel_keeps_the_class(self, transform, box):
        assert type(block_transform(transform, box)) is type(transform)

    def test_block_elsewhere_is_affine(self):
        back = block_transform(IdentityTransform(XY, AB), Box((0, 7), (3, 9)))
        assert type(back) is AffineTransform
        assert back.transform_points([[0, 0], [2, 1]]).tolist() == [[0, 7], [2, 8]]

    def test_affine_maps_and_three_axes(self):
        to_level = AffineTransform(
            tuple("abc"), tuple("xyz"), [[0, 2, 0, 1], [0, 0, 4, 0], [1, 0, 0, -3]]
        )
        back = block_transform(to_level, Box((5, 6, 7), (8, 8, 8)))
        pixels = to_level.transform_points(back.transform_points([[0, 1, 2]]))
        np.testing.assert_allclose(pixels, [[5, 7, 9]])

    def test_number_of_axes_must_match(self):
        with pytest.raises(ArgumentError, match=r"has 1 axes; the level has"):
            block_transform(IdentityTransform(XY, AB), Box((2,), (3,)))

    @pytest.mark.parametrize("box", [None, Box((0, 1), (2, 2))])
    def test_no_inverse_is_refused(self, box):
        with pytest.raises(ArgumentError, match="Cannot invert"):
            block_transform(ScaleTransform(XY, AB, [1, 0]), box)

    def test_what_is_no_transform_is_refused(self):
        with pytest.raises(UnsupportedError, match="read through NoneType"):
            block_transform(None)
