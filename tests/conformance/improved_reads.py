"""Reading regions that upstream refuses: 1-D, 3-D, affine, chosen channels, order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import napari_msimage

from .cases import CASES_BY_NAME, CHANNEL, random_pixels
from .describe import transform_facts
from .store_suite import StoreSuite

VOLUME = random_pixels((2, 6, 16, 20), "uint16")  # channel, z, y, x
PLANE = (100 * np.arange(10)[:, None] + np.arange(20)).astype(np.int32)  # y, x


class ImprovedReadsSuite(StoreSuite):
    @pytest.fixture
    def volume(self, _store):
        self.write_levels(
            ("level0", VOLUME),
            ("level1", VOLUME[:, ::2, ::2, ::2]),
            coordinate_space=("x", "y", "z"),
            has_channel_axis=True,
        )
        return self.open()

    @pytest.fixture
    def plane(self, _store):
        self.write_levels(("level0", PLANE), ("level1", PLANE[::2, ::2]))
        return self.open()

    # Three axes and one

    def test_volume_without_region_is_read_whole(self, volume):
        read = volume.read_spatial_region(0)
        np.testing.assert_array_equal(read.data, VOLUME)
        assert type(read.coordinate_transform).__name__ == "IdentityTransform"

    @pytest.mark.parametrize(
        ("region", "box"),
        [
            ((0, 0, 0, 0, 0, 0), np.s_[:, 0:1, 0:1, 0:1]),
            ((3, 4, 1, 7, 9, 2), np.s_[:, 1:3, 4:10, 3:8]),
            ((7, 9, 2, 3, 4, 1), np.s_[:, 1:3, 4:10, 3:8]),
            ((2.5, 3.2, 0.5, 4.1, 5.5, 0.5), np.s_[:, 0:2, 3:7, 2:6]),
            ((-5, -5, -5, 2, 3, 1), np.s_[:, 0:2, 0:4, 0:3]),
            ((18, 14, 4, 99, 99, 99), np.s_[:, 4:6, 14:16, 18:20]),
        ],
        ids=str,
    )
    def test_volume_region_is_six_numbers_in_axis_order(self, volume, region, box):
        read = volume.read_spatial_region(0, region)
        np.testing.assert_array_equal(read.data, VOLUME[box])
        shift = [box[axis].start or 0 for axis in (3, 2, 1)]
        np.testing.assert_array_equal(
            read.coordinate_transform.augmented_matrix[:3, 3], shift
        )

    def test_volume_region_of_a_coarse_level(self, volume):
        read = volume.read_spatial_region(1, (4, 6, 2, 8, 10, 4))
        np.testing.assert_array_equal(
            read.data, VOLUME[:, ::2, ::2, ::2][:, 1:3, 3:6, 2:5]
        )
        matrix = np.diag([2.0, 2.0, 2.0, 1.0])
        matrix[:3, 3] = (4, 6, 2)
        np.testing.assert_allclose(read.coordinate_transform.augmented_matrix, matrix)

    @pytest.mark.parametrize("region", [(0, 0, 5, 5), (20, 0, 0, 30, 5, 5)], ids=str)
    def test_volume_regions_that_make_no_sense_are_refused(self, volume, region):
        with self.raises(ValueError, match="region"):
            volume.read_spatial_region(0, region)

    def test_line_region_is_two_numbers(self):
        case = CASES_BY_NAME["x"]
        self.write_case(case)
        image = self.open()
        read = image.read_spatial_region(0, (3, 7.5))
        np.testing.assert_array_equal(read.data, case.pixels("a")[3:9])
        assert read.coordinate_transform.augmented_matrix.tolist() == [[1, 3], [0, 1]]

    def test_four_spatial_axes_are_read_whole_or_refused(self):
        case = CASES_BY_NAME["ctzyx"]
        self.write_case(case)
        image = self.open()
        np.testing.assert_array_equal(image["level0"].read(), case.pixels("level0"))
        try:
            data = image.read_spatial_region(0).data
        except NotImplementedError as error:
            assert "axes" in str(error)  # noqa: PT017 - upstream refuses as well
        else:
            np.testing.assert_array_equal(data, case.pixels("level0"))

    # Axis order of the result

    @pytest.mark.parametrize(
        "order", list(itertools.permutations((CHANNEL, "z", "y", "x"))), ids=str
    )
    def test_result_comes_in_the_order_asked_for(self, volume, order):
        read = volume.read_spatial_region(0, (3, 4, 1, 7, 9, 2), data_axis_order=order)
        axes = [(CHANNEL, "z", "y", "x").index(name) for name in order]
        expected = VOLUME[:, 1:3, 4:10, 3:8].transpose(axes)
        np.testing.assert_array_equal(read.data, expected)
        plain = volume.read_spatial_region(0, (3, 4, 1, 7, 9, 2))
        assert transform_facts(read.coordinate_transform) == transform_facts(
            plain.coordinate_transform
        )

    @pytest.mark.parametrize(
        "order", [("y",), ("y", "z"), ("y", "y"), ("y", "x", CHANNEL), ()], ids=str
    )
    def test_order_of_other_axes_is_refused(self, plane, order):
        with self.raises(ValueError, match="data_axis_order"):
            plane.read_spatial_region(0, data_axis_order=order)

    def test_column_major_gives_the_transposed_block(self, plane):
        read = plane.read_spatial_region(0, (2, 3, 6, 5), result_order="column-major")
        np.testing.assert_array_equal(read.data, PLANE[3:6, 2:7].T)

    # Affine regions

    @pytest.mark.parametrize(
        ("matrix", "region", "box"),
        [
            ([[1, 0, 2], [0, 1, 3]], (0, 0, 4, 2), np.s_[3:6, 2:7]),
            ([[1, 0, -2], [0, 1, -3]], (4, 5, 6, 7), np.s_[2:5, 2:5]),
            ([[2, 0, 1], [0, 3, 0.5]], (1, 1, 2, 2), np.s_[3:8, 3:6]),
            # a quarter turn: x = y', y = 6 - x'
            ([[0, 1, 0], [-1, 0, 6]], (1, 2, 3, 5), np.s_[3:6, 2:6]),
            # a shear: the corners of the box land on x = 1, 3, 4, 6
            ([[1, 1, 0], [0, 1, 0]], (0, 1, 2, 4), np.s_[1:5, 1:7]),
        ],
        ids=["shift", "shift_back", "scale_and_shift", "turn", "shear"],
    )
    def test_affine_region_is_its_bounding_box_translation_included(
        self, plane, matrix, region, box
    ):
        transform = napari_msimage.AffineTransform(("a", "b"), ("x", "y"), matrix)
        read = plane.read_spatial_region(0, region, region_transform=transform)
        np.testing.assert_array_equal(read.data, PLANE[box])
        # the transform says where pixel (0, 0) of the block lies in the region's space
        forward = np.array([*matrix, [0, 0, 1]], float)
        corner = np.linalg.inv(forward) @ [box[1].start, box[0].start, 1]
        block = read.coordinate_transform.augmented_matrix
        np.testing.assert_allclose(block @ [0, 0, 1], corner, atol=1e-12)
        np.testing.assert_allclose(
            block[:2, :2], np.linalg.inv(forward)[:2, :2], atol=1e-12
        )
        assert read.output_coordinate_space.axis_names == ("a", "b")

    def test_affine_region_of_a_coarse_level(self, plane):
        transform = napari_msimage.AffineTransform(
            ("a", "b"), ("x", "y"), [[0, 2, 2], [2, 0, 0]]
        )
        read = plane.read_spatial_region(1, (1, 2, 2, 3), region_transform=transform)
        np.testing.assert_array_equal(read.data, PLANE[::2, ::2][1:3, 3:5])

    def test_affine_transform_without_a_region_reads_all(self, plane):
        transform = napari_msimage.AffineTransform(
            ("a", "b"), ("x", "y"), [[0, 1, 0], [-1, 0, 6]]
        )
        read = plane.read_spatial_region(0, region_transform=transform)
        np.testing.assert_array_equal(read.data, PLANE)
        np.testing.assert_allclose(
            read.coordinate_transform.augmented_matrix,
            np.linalg.inv(transform.augmented_matrix),
            atol=1e-12,
        )

    def test_transform_that_cannot_be_inverted_is_refused(self, plane):
        transform = napari_msimage.AffineTransform(
            ("a", "b"), ("x", "y"), [[1, 1, 0], [1, 1, 0]]
        )
        with self.raises(ValueError, match="invert|singular"):
            plane.read_spatial_region(0, (0, 0, 1, 1), region_transform=transform)

    # Regions and channels of other kinds

    @pytest.mark.parametrize(
        "region",
        [
            (float("nan"), 0, 1, 1),
            (0, 0, float("inf"), 1),
            (float("-inf"), 0, 1, 1),
            ("a", 0, 1, 1),
            "abcd",
            ((0, 0), (1, 1)),
            3,
            {"x": 1},
        ],
        ids=str,
    )
    def test_regions_that_are_none_are_refused(self, plane, region):
        with self.raises((ValueError, TypeError), match="region"):
            plane.read_spatial_region(0, region)

    def test_region_beyond_any_integer_is_refused_or_clipped(self, plane):
        read = plane.read_spatial_region(0, (-1e300, -1e300, 1e300, 1e300))
        np.testing.assert_array_equal(read.data, PLANE)
        with self.raises(ValueError, match="region"):
            plane.read_spatial_region(0, (1e300, 0, 2e300, 1))

    def test_numpy_values_are_numbers_too(self, plane):
        region = np.array([2, 3, 4, 5], np.float32)
        read = plane.read_spatial_region(np.int64(0), region)
        np.testing.assert_array_equal(read.data, PLANE[3:6, 2:5])

    def test_anything_with_bounds_is_a_region(self, plane):
        class Geometry:
            bounds = (2.0, 3.0, 4.0, 5.0)

        read = plane.read_spatial_region(0, Geometry())
        np.testing.assert_array_equal(read.data, PLANE[3:6, 2:5])

    @pytest.mark.parametrize(
        ("channels", "expected"),
        [
            ([0, 1], [0, 1]),
            ([1], [1]),
            ([1, 0], [1, 0]),
            ((0, 1), [0, 1]),
            (np.array([1, 0]), [1, 0]),
            (np.int64(1), [1]),
        ],
        ids=str,
    )
    def test_channels_are_chosen_by_list(self, volume, channels, expected):
        read = volume.read_spatial_region(
            0, (3, 4, 1, 7, 9, 2), channel_coords=channels
        )
        np.testing.assert_array_equal(read.data, VOLUME[expected, 1:3, 4:10, 3:8])

    @pytest.mark.parametrize(
        "channels", [[], [2], [0, -1], [0.5], ["a"], [None]], ids=str
    )
    def test_channel_lists_that_make_no_sense_are_refused(self, volume, channels):
        with self.raises((ValueError, TypeError), match="channel"):
            volume.read_spatial_region(0, channel_coords=channels)

    def test_unknown_result_order_is_refused(self, plane):
        with self.raises(ValueError, match="result_order"):
            plane.read_spatial_region(0, result_order="auto")

    def test_read_is_a_frozen_value(self, plane):
        read = plane.read_spatial_region(0)
        assert isinstance(read, napari_msimage.SpatialRead)
        with pytest.raises(AttributeError, match="data"):
            read.data = None

    @pytest.mark.parametrize("transform", [3, "ScaleTransform", np.eye(3)], ids=type)
    def test_region_transform_must_be_a_transform(self, plane, transform):
        kinds = (TypeError, ValueError, NotImplementedError)
        with self.raises(kinds, match="transform"):
            plane.read_spatial_region(0, region_transform=transform)
