"""Regions: from what values, through which transforms, to which pixels."""

from __future__ import annotations

import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import shapely

from napari_msimage.coordinates import (
    AffineTransform,
    Box,
    CoordinateTransform,
    IdentityTransform,
    Region,
    ScaleTransform,
    region_to_box,
    region_to_soma_box,
    transform_region,
)
from napari_msimage.errors import ArgumentTypeError, RegionError, UnsupportedError

XY = ("x", "y")


class TestRegion:
    def test_corners_become_floats(self):
        region = Region([1, np.int64(2)], (np.float32(3), 4))
        assert region == Region((1.0, 2.0), (3.0, 4.0))
        assert {type(number) for number in region.bounds} == {float}
        assert region.bounds == (1.0, 2.0, 3.0, 4.0)
        assert region.n_axes == 2

    def test_a_point_is_a_region(self):
        assert Region((1.5,), (1.5,)).bounds == (1.5, 1.5)

    def test_regions_are_frozen_values(self):
        region = Region((1, 2), (3, 4))
        assert len({region, Region((1, 2), (3, 4))}) == 1
        assert pickle.loads(pickle.dumps(region)) == region
        with pytest.raises(AttributeError, match="cannot assign"):
            region.minimum = (0, 0)

    @pytest.mark.parametrize(
        ("minimum", "maximum", "message"),
        [
            ((1, 2), (3,), "one number per axis in each"),
            ((), (), "one number per axis in each"),
            ((1, 5), (3, 4), "from 5.0 to 4.0 on axis 1; expected the minimum first"),
            ((math.nan, 0), (1, 1), "from nan to 1.0 on axis 0; expected finite"),
            ((0, 0), (1, math.inf), "from 0.0 to inf on axis 1; expected finite"),
        ],
    )
    def test_malformed_corners_are_refused(self, minimum, maximum, message):
        with pytest.raises(RegionError, match=message):
            Region(minimum, maximum)


class TestFromValue:
    @pytest.mark.parametrize(
        "value",
        [
            (2, 3, 4, 5),
            [4, 5, 2, 3],
            (4.0, 3, 2, 5),
            np.array([2, 3, 4, 5], dtype=np.uint8),
            [np.int64(2), np.float32(3), 4, 5],
            range(2, 6),
            shapely.box(2, 3, 4, 5),
            shapely.LineString([(2, 5), (4, 3)]),
            shapely.Polygon([(2, 4), (3, 5), (4, 4), (3, 3)]),
            SimpleNamespace(bounds=(2, 3, 4, 5)),
            SimpleNamespace(bounds=np.array([2.0, 3, 4, 5])),
            Region((2, 3), (4, 5)),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_two_axes(self, value):
        assert Region.from_value(value, 2) == Region((2, 3), (4, 5))

    def test_a_geometry_can_be_a_point(self):
        region = Region.from_value(shapely.Point(2.5, 3.5), 2)
        assert region == Region((2.5, 3.5), (2.5, 3.5))

    @pytest.mark.parametrize(
        ("value", "region"),
        [
            ((7, 2), Region((2,), (7,))),
            ((1, 2, 3, 4, 5, 6), Region((1, 2, 3), (4, 5, 6))),
            ((4, 2, 6, 1, 5, 3), Region((1, 2, 3), (4, 5, 6))),
            (range(10), Region((0, 1, 2, 3, 4), (5, 6, 7, 8, 9))),
        ],
        ids=["1", "3", "3-inverted", "5"],
    )
    def test_other_numbers_of_axes(self, value, region):
        assert Region.from_value(value, region.n_axes) == region

    @pytest.mark.parametrize(
        ("value", "n_axes", "message"),
        [
            ((1, 2, 3), 2, r"\(1, 2, 3\) has 3 numbers; expected 4: the 2 minima"),
            ((1, 2, 3, 4, 5, 6), 2, "has 6 numbers; expected 4"),
            ((1, 2, 3, 4), 3, "has 4 numbers; expected 6"),
            ([], 1, "has 0 numbers; expected 2"),
            (Region((1,), (2,)), 2, "has 2 numbers; expected 4"),
            (shapely.box(0, 0, 1, 1), 1, "has 4 numbers; expected 2"),
            (shapely.Point(1, 2, 3), 3, "has 4 numbers; expected 6"),
            (shapely.Point(1, 2, 3), 2, "has z coordinates"),
            (shapely.Polygon(), 2, "is empty"),
            (SimpleNamespace(bounds=(math.nan,) * 4), 2, "expected finite numbers"),
            ((1, math.nan, 3, 4), 2, "expected finite numbers"),
            ((1, 2, math.inf, 4), 2, "expected finite numbers"),
            ((1, 2, 10**400, 4), 2, "too large for floating point"),
        ],
    )
    def test_numbers_that_do_not_fit_are_refused(self, value, n_axes, message):
        with pytest.raises(RegionError, match=message):
            Region.from_value(value, n_axes)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("0123", "'0123' is of type str"),
            (b"0123", "is of type bytes"),
            (None, "None is of type NoneType"),
            (7, "7 is of type int"),
            ({1, 2, 3, 4}, "is of type set"),
            ({"x": 1}, "is of type dict"),
            (np.float64(3), "is one number"),
            (("1", 2, 3, 4), r"has '1' \(str\) at position 0"),
            ((1, None, 3, 4), r"has None \(NoneType\) at position 1"),
            ((1, 2, True, 4), r"has True \(bool\) at position 2"),
            ((1, 2, np.True_, 4), r"has (np\.)?True_? \(bool\) at position 2"),
            (np.ones(4, dtype=bool), r"has True \(bool\) at position 0"),
            ((1, 2, 3, 4j), r"has 4j \(complex\) at position 3"),
            (((1, 2), (3, 4)), r"has \(1, 2\) \(tuple\) at position 0; .* flat"),
            (np.ones((2, 2)), r"\(list\) at position 0; expected a flat sequence"),
            (SimpleNamespace(bounds=None), "None is of type NoneType"),
            (SimpleNamespace(bounds=lambda: (1, 2, 3, 4)), "is of type function"),
        ],
    )
    def test_what_is_no_region_is_refused(self, value, message):
        with pytest.raises(ArgumentTypeError, match=message):
            Region.from_value(value, 2)

    def test_messages_stay_short(self):
        with pytest.raises(RegionError, match="has 100000 numbers") as caught:
            Region.from_value(list(range(100_000)), 2)
        assert len(str(caught.value)) < 300


class TestTransformRegion:
    def test_translation_is_applied(self):
        shift = AffineTransform(XY, XY, [[1, 0, 10], [0, 1, -20]])
        region = transform_region(Region((1, 2), (3, 4)), shift)
        assert region == Region((11, -18), (13, -16))

    def test_negative_scales_swap_the_corners(self):
        flip = ScaleTransform(XY, XY, [-1, 2])
        region = transform_region(Region((-4, 1), (-1, 4)), flip)
        assert region == Region((1, 2), (4, 8))

    def test_a_rotation_gives_the_bounding_box(self):
        half = math.sqrt(0.5)
        turn = AffineTransform(XY, XY, [[half, -half, 3], [half, half, 0]])
        region = transform_region(Region((0, 0), (1, 1)), turn)
        root = math.sqrt(2)
        np.testing.assert_allclose(region.bounds, (3 - half, 0, 3 + half, root))

    def test_axes_can_be_exchanged_in_three_dimensions(self):
        cycle = AffineTransform(
            tuple("xyz"), tuple("abc"), [[0, 1, 0, 1], [0, 0, 1, 2], [1, 0, 0, 3]]
        )
        region = transform_region(Region((1, 2, 3), (4, 5, 6)), cycle)
        assert region == Region((3, 5, 4), (6, 8, 7))

    def test_dozens_of_axes_are_no_burden(self):
        names = [f"a{position}" for position in range(60)]
        region = Region((0,) * 60, (1,) * 60)
        mixed = transform_region(
            region, AffineTransform(names, names, np.ones((60, 60)))
        )
        assert mixed == Region((0,) * 60, (60,) * 60)

    def test_number_of_axes_must_match(self):
        with pytest.raises(RegionError, match=r"has 3 axes; the transform takes 2"):
            transform_region(Region((0,) * 3, (1,) * 3), IdentityTransform(XY, XY))

    @pytest.mark.parametrize("factor", [math.inf, math.nan, 1e308])
    def test_a_result_that_is_not_finite_is_refused(self, factor):
        with pytest.raises(RegionError, match=r"no finite bounds after"):
            transform_region(
                Region((0, 0), (1, 10)), ScaleTransform(XY, XY, [1, factor])
            )

    def test_another_family_is_refused(self):
        class Warp(CoordinateTransform):
            def __matmul__(self, other):
                return self

            def inverse_transform(self):
                return self

            def _contents_lines(self):
                return ()

        with pytest.raises(UnsupportedError, match="region by Warp"):
            transform_region(Region((0, 0), (1, 1)), Warp(XY, XY))


class TestRegionToBox:
    """Half-open, smallest cover, clipped to a level of 20 by 10 pixels."""

    @pytest.mark.parametrize(
        ("bounds", "start", "stop"),
        [
            ((0, 0, 20, 10), (0, 0), (20, 10)),
            ((2, 3, 4, 5), (2, 3), (4, 5)),
            ((2.2, 3.7, 4.1, 5.5), (2, 3), (5, 6)),
            ((-5, -5, 3, 3), (0, 0), (3, 3)),
            ((15, 5, 100, 100), (15, 5), (20, 10)),
            ((2.5, 3.5, 2.5, 3.5), (2, 3), (3, 4)),
            ((2, 3, 2, 3), (2, 3), (3, 4)),
            ((2, 3, 2, 5), (2, 3), (3, 5)),
            ((19.5, 9.5, 30, 30), (19, 9), (20, 10)),
            ((1e300, 0, 1e301, 1), (20, 0), (20, 1)),
        ],
    )
    def test_cover(self, bounds, start, stop):
        region = Region.from_value(bounds, 2)
        assert region_to_box(region, (20, 10)) == Box(start, stop)

    @pytest.mark.parametrize(
        "bounds",
        [(20, 10, 30, 30), (25, 0, 30, 10), (-5, -5, -2, -2), (-5, 0, 0, 10)],
    )
    def test_outside_is_empty(self, bounds):
        assert region_to_box(Region.from_value(bounds, 2), (20, 10)).is_empty

    def test_neighbours_share_no_pixel(self):
        left = region_to_box(Region((0,), (7,)), (20,))
        right = region_to_box(Region((7,), (20,)), (20,))
        assert (left.stop, right.start) == ((7,), (7,))

    def test_three_axes(self):
        box = region_to_box(Region((0.5, 1, 2), (1, 2.5, 9)), (5, 4, 3))
        assert box == Box((0, 1, 2), (1, 3, 3))

    def test_number_of_axes_must_match(self):
        with pytest.raises(RegionError, match=r"has 1 axes; the level's shape is"):
            region_to_box(Region((0,), (1,)), (20, 10))


class TestRegionToSomaBox:
    """Rounding of ``read_spatial_region``; its whole table is in test_boxes."""

    def test_the_last_pixel_is_included(self):
        assert region_to_soma_box(Region((2, 3), (4, 5)), (20, 10)) == Box(
            (2, 3), (5, 6)
        )

    def test_three_axes(self):
        box = region_to_soma_box(Region((0.5, 1, -3), (1, 2.5, 9)), (5, 4, 3))
        assert box == Box((0, 1, 0), (2, 4, 3))

    def test_ending_within_a_pixel_before_the_level_reads_the_first(self):
        assert region_to_soma_box(Region((-5,), (-0.5,)), (20,)) == Box((0,), (1,))

    @pytest.mark.parametrize(
        ("bounds", "axis"), [((0, 10, 5, 12), 1), ((-9, 0, -1, 5), 0)]
    )
    def test_no_overlap_names_the_axis(self, bounds, axis):
        with pytest.raises(RegionError, match=f"on axis {axis} .* does not overlap"):
            region_to_soma_box(Region.from_value(bounds, 2), (20, 10))

    def test_numbers_beyond_int64_are_fine(self):
        assert region_to_soma_box(Region((-1e300,), (1e300,)), (20,)) == Box(
            (0,), (20,)
        )

    def test_number_of_axes_must_match(self):
        with pytest.raises(RegionError, match=r"has 1 axes; the level's shape is"):
            region_to_soma_box(Region((0,), (1,)), (20, 10))
