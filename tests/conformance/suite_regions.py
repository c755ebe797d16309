"""read_spatial_region: which pixels, in which order, and where they lie."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from .cases import CASES, CASES_BY_NAME, ImageCase
from .describe import space_facts, transform_facts
from .store_suite import StoreSuite

#: pixel = 100 * y + x, so that a value tells where it comes from.
BASE, HALF, ODD = (
    (100 * np.arange(rows)[:, None] + np.arange(columns)).astype(np.int32)
    for rows, columns in ((10, 20), (5, 10), (3, 7))
)
LEVELS = {"level0": BASE, "level1": HALF, "odd": ODD}

#: level, region, shape, first and last pixel, then diagonal and shift of the transform
TABLE = [
    ("level0", None, (10, 20), 0, 919, "Identity", (1, 1), (0, 0)),
    ("level0", (0, 0, 20, 10), (10, 20), 0, 919, "Identity", (1, 1), (0, 0)),
    ("level0", (0, 0, 19, 9), (10, 20), 0, 919, "Identity", (1, 1), (0, 0)),
    ("level0", (0, 0, 18.999, 8.999), (10, 20), 0, 919, "Identity", (1, 1), (0, 0)),
    ("level0", (0, 0, 0, 0), (1, 1), 0, 0, "Identity", (1, 1), (0, 0)),
    ("level0", (2, 3, 4, 5), (3, 3), 302, 504, "Affine", (1, 1), (2, 3)),
    ("level0", (4, 5, 2, 3), (3, 3), 302, 504, "Affine", (1, 1), (2, 3)),
    ("level0", (2.2, 3.7, 4.1, 5.5), (4, 4), 302, 605, "Affine", (1, 1), (2, 3)),
    ("level0", (2.5, 3.5, 2.5, 3.5), (2, 2), 302, 403, "Affine", (1, 1), (2, 3)),
    ("level0", (-5, -5, 3, 3), (4, 4), 0, 303, "Identity", (1, 1), (0, 0)),
    ("level0", (-0.5, -0.5, 0.5, 0.5), (2, 2), 0, 101, "Identity", (1, 1), (0, 0)),
    ("level0", (15, 5, 100, 100), (5, 5), 515, 919, "Affine", (1, 1), (15, 5)),
    ("level0", (19, 9, 30, 30), (1, 1), 919, 919, "Affine", (1, 1), (19, 9)),
    ("level0", (19.5, 9.5, 30, 30), (1, 1), 919, 919, "Affine", (1, 1), (19, 9)),
    ("level1", (2, 4, 6, 8), (3, 3), 201, 403, "Affine", (2, 2), (2, 4)),
    ("level1", (3, 5, 7, 9), (3, 4), 201, 404, "Affine", (2, 2), (2, 4)),
    ("level1", (0, 0, 1, 1), (2, 2), 0, 101, "Scale", (2, 2), (0, 0)),
    (
        "odd",
        (3, 5, 7, 9),
        (2, 3),
        101,
        203,
        "Affine",
        (20 / 7, 10 / 3),
        (20 / 7, 10 / 3),
    ),
]
OUTSIDE = [(20, 10, 30, 30), (25, 15, 30, 30), (-5, -5, -2, -2), (0, 10, 5, 12)]


class RegionsSuite(StoreSuite):
    @pytest.fixture
    def image(self, _store):
        self.write_levels(*LEVELS.items())
        return self.open()

    @pytest.mark.parametrize(
        ("level", "region", "shape", "first", "last", "kind", "diagonal", "shift"),
        TABLE,
        ids=[f"{row[0]}-{row[1]}" for row in TABLE],
    )
    def test_measured_regions(
        self, image, level, region, shape, first, last, kind, diagonal, shift
    ):
        read = image.read_spatial_region(level, region)
        assert read.data.shape == shape
        assert (read.data.flat[0], read.data.flat[-1]) == (first, last)
        assert read.data.dtype == np.int32
        facts = transform_facts(read.coordinate_transform)
        assert facts["class"] == f"{kind}Transform"
        matrix = np.diag([*diagonal, 1.0])
        matrix[:2, 2] = shift
        np.testing.assert_allclose(facts["matrix"], matrix, rtol=1e-12)
        for space in (read.data_coordinate_space, read.output_coordinate_space):
            assert space_facts(space) == [("x", None), ("y", None)]

    @pytest.mark.parametrize("region", OUTSIDE, ids=str)
    def test_region_that_misses_the_image_is_refused(self, image, region):
        with self.raises(ValueError, match="region"):
            image.read_spatial_region(0, region)

    @pytest.mark.parametrize(
        "kind", [list, np.array, tuple], ids=["list", "array", "tuple"]
    )
    def test_region_is_any_sequence_of_four(self, image, kind):
        read = image.read_spatial_region(0, kind((2, 3, 4, 5)))
        assert read.data.shape == (3, 3)
        assert read.data[0, 0] == 302

    @pytest.mark.parametrize(
        "region", [(1, 2, 3), (1, 2, 3, 4, 5, 6), (), (1, 2)], ids=str
    )
    def test_region_of_another_size_is_refused(self, image, region):
        with self.raises(ValueError, match="region"):
            image.read_spatial_region(0, region)

    def test_geometry_stands_for_its_bounding_box(self, image):
        triangle = shapely.Polygon([(2, 3), (6, 4), (5, 8)])
        read = image.read_spatial_region(0, triangle)
        np.testing.assert_array_equal(read.data, BASE[3:9, 2:7])
        point = image.read_spatial_region(0, shapely.Point(2.5, 3.5))
        np.testing.assert_array_equal(point.data, BASE[3:5, 2:4])

    @pytest.mark.parametrize("wkt", ["POINT EMPTY", "POINT Z (1 2 3)"])
    def test_geometry_without_a_plane_box_is_refused(self, image, wkt):
        with self.raises(ValueError, match="geometry"):
            image.read_spatial_region(0, shapely.from_wkt(wkt))

    @pytest.mark.parametrize(
        ("level", "region", "scale", "shape", "first", "diagonal", "shift"),
        [
            (0, (1, 1, 4, 4), (2, 2), (7, 7), 202, (0.5, 0.5), (1, 1)),
            (1, (1, 1, 4, 4), (2, 2), (4, 4), 101, (1, 1), (1, 1)),
            (1, None, (2, 4), (5, 10), 0, (1, 0.5), (0, 0)),
            (0, (-4, 1, -1, 4), (-1, 1), (4, 4), 101, (-1, 1), (-1, 1)),
        ],
        ids=str,
    )
    def test_region_transform_maps_the_region_to_the_image(
        self, image, level, region, scale, shape, first, diagonal, shift
    ):
        transform = self.soma.ScaleTransform(("a", "b"), ("x", "y"), scale)
        read = image.read_spatial_region(level, region, region_transform=transform)
        assert read.data.shape == shape
        assert read.data.flat[0] == first
        facts = transform_facts(read.coordinate_transform)
        assert facts["input_axes"] == ("x", "y")
        assert facts["output_axes"] == ("a", "b")
        matrix = np.diag([*diagonal, 1.0])
        matrix[:2, 2] = shift
        np.testing.assert_allclose(facts["matrix"], matrix, rtol=1e-12)
        assert space_facts(read.output_coordinate_space) == [("a", None), ("b", None)]
        assert space_facts(read.data_coordinate_space) == [("x", None), ("y", None)]

    def test_region_coordinate_space_is_given_back_with_its_units(self, image):
        space = self.space(("a", "mm"), ("b", "km"))
        transform = self.soma.UniformScaleTransform(("a", "b"), ("x", "y"), 2.0)
        read = image.read_spatial_region(
            0, (1, 1, 4, 4), region_transform=transform, region_coord_space=space
        )
        assert space_facts(read.output_coordinate_space) == [("a", "mm"), ("b", "km")]

    def test_identity_as_region_transform_renames_the_axes(self, image):
        transform = self.soma.IdentityTransform(("a", "b"), ("x", "y"))
        read = image.read_spatial_region(0, (2, 3, 4, 5), region_transform=transform)
        np.testing.assert_array_equal(read.data, BASE[3:6, 2:5])
        assert tuple(read.coordinate_transform.output_axes) == ("a", "b")

    def test_space_without_a_transform_is_refused(self, image):
        with self.raises(ValueError, match="region_transform"):
            image.read_spatial_region(0, region_coord_space=self.space("x", "y"))

    def test_transform_to_other_axes_is_refused(self, image):
        transform = self.soma.ScaleTransform(("a", "b"), ("u", "v"), (1, 2))
        with self.raises(ValueError, match="region_transform"):
            image.read_spatial_region(0, region_transform=transform)

    @pytest.mark.parametrize("names", [("a",), ("a", "c"), ("b", "a")], ids=str)
    def test_space_of_other_axes_than_the_transform_is_refused(self, image, names):
        transform = self.soma.ScaleTransform(("a", "b"), ("x", "y"), (1, 2))
        with self.raises(ValueError, match="region_coord_space"):
            image.read_spatial_region(
                0,
                region_transform=transform,
                region_coord_space=self.space(*names),
            )

    def test_units_of_the_image_come_with_the_read(self):
        self.write_case(CASES_BY_NAME["yx_units"])
        read = self.open().read_spatial_region(0, (1, 1, 4, 4))
        expected = [("x", "micrometer"), ("y", "µm")]
        assert space_facts(read.data_coordinate_space) == expected
        assert space_facts(read.output_coordinate_space) == expected

    @pytest.mark.parametrize(
        "case",
        [case for case in CASES if len(case.axes) == 2],
        ids=lambda case: case.name,
    )
    def test_region_is_in_coordinate_order_and_result_in_storage_order(
        self, case: ImageCase
    ):
        self.write_case(case)
        image = self.open()
        key = next(iter(image.levels()))
        pixels = case.pixels(key)
        size = dict(zip(case.data_axes, pixels.shape, strict=True))
        x, y = case.axis_names
        last_x, last_y = min(3, size[x] - 1), min(2, size[y] - 1)
        read = image.read_spatial_region(0, (0, 0, last_x, last_y))
        box = {x: slice(0, last_x + 1), y: slice(0, last_y + 1)}
        expected = pixels[tuple(box.get(axis, slice(None)) for axis in case.data_axes)]
        np.testing.assert_array_equal(read.data, expected, strict=True)

    def test_one_axis_without_region_reads_all(self):
        self.write_case(CASES_BY_NAME["x"])
        read = self.open().read_spatial_region(0)
        np.testing.assert_array_equal(read.data, CASES_BY_NAME["x"].pixels("a"))

    def test_never_written_cells_are_the_fill_value(self):
        self.create(level_shape=(4, 5)).close()
        np.testing.assert_array_equal(
            self.open().read_spatial_region(0).data, np.full((4, 5), 255, np.uint8)
        )

    def test_data_is_a_numpy_array_that_can_be_kept(self, image):
        read = image.read_spatial_region(0, (2, 3, 4, 5))
        image.close()
        np.testing.assert_array_equal(read.data, BASE[3:6, 2:5])


class ChannelsSuite(StoreSuite):
    PIXELS = np.arange(4 * 6 * 8, dtype=np.uint16).reshape(4, 6, 8)

    @pytest.fixture
    def image(self, _store):
        self.write_levels(
            ("level0", self.PIXELS),
            ("level1", self.PIXELS[:, ::2, ::2]),
            has_channel_axis=True,
        )
        return self.open()

    @pytest.mark.parametrize(
        ("channels", "expected"),
        [
            (None, slice(None)),
            (slice(None), slice(None)),
            (0, slice(0, 1)),
            (3, slice(3, 4)),
            (True, slice(1, 2)),
            (slice(1, 2), slice(1, 3)),
            (slice(0, 10), slice(0, 4)),
            (slice(None, 2), slice(0, 3)),
            (slice(1, None), slice(1, 4)),
            (slice(2, 2), slice(2, 3)),
        ],
        ids=str,
    )
    def test_channels_are_chosen_inclusively_and_the_axis_stays(
        self, image, channels, expected
    ):
        read = image.read_spatial_region(0, (1, 2, 4, 3), channel_coords=channels)
        np.testing.assert_array_equal(read.data, self.PIXELS[expected, 2:4, 1:5])

    @pytest.mark.parametrize(
        ("channels", "kind"),
        [
            (4, "SOMAError"),
            (-1, "SOMAError"),
            (slice(2, 1), ValueError),
            (slice(0, 3, 2), ValueError),
            (slice(-2, -1), ValueError),
            (1.0, TypeError),
            ("0", TypeError),
        ],
        ids=str,
    )
    def test_channels_that_are_none_are_refused(self, image, channels, kind):
        with self.raises(kind, match="channel|dimension 0"):
            image.read_spatial_region(0, channel_coords=channels)

    def test_channels_without_channel_axis_are_refused(self):
        self.create().close()
        with self.raises(ValueError, match="channel"):
            self.open().read_spatial_region(0, channel_coords=0)

    def test_channels_last(self):
        pixels = np.ascontiguousarray(self.PIXELS.transpose(1, 2, 0))
        self.write_levels(
            ("level0", pixels),
            has_channel_axis=True,
            data_axis_order=("y", "x", "soma_channel"),
        )
        read = self.open().read_spatial_region(0, (1, 2, 4, 3), channel_coords=2)
        np.testing.assert_array_equal(read.data, pixels[2:4, 1:5, 2:3])
