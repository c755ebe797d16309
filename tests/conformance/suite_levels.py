"""Levels: order, indexes, transforms, adding."""

from __future__ import annotations

import numpy as np
import pytest

from .cases import CASES, CASES_BY_NAME, CHANNEL, ImageCase
from .describe import transform_facts
from .store_suite import StoreSuite, write


class LevelsSuite(StoreSuite):
    def write_pyramid(self) -> None:
        self.write_levels(
            ("level0", np.zeros((10, 20), np.uint8)),
            ("level1", np.zeros((5, 10), np.uint8)),
            ("odd", np.zeros((3, 7), np.uint8)),
        )

    def test_levels_come_by_shape_then_name_and_keys_by_name(self):
        self.write_case(CASES_BY_NAME["ties"])
        image = self.open()
        assert list(image.levels()) == ["d", "c", "B", "a", "b", "10", "9", "e"]
        assert list(image.keys()) == ["10", "9", "B", "a", "b", "c", "d", "e"]
        assert list(image) == list(image.keys())

    def test_order_holds_in_the_session_that_adds(self):
        image = self.create(level_key="small", level_shape=(5, 5))
        image.add_new_level("tall", shape=(9, 2))
        image.add_new_level("wide", shape=(5, 8))
        assert list(image.levels()) == ["tall", "wide", "small"]

    def test_new_levels_come_last_among_keys_until_reopened(self):
        image = self.create(level_key="m")
        image.add_new_level("z", shape=(4, 4))
        image.add_new_level("a", shape=(3, 3))
        assert list(image) == ["m", "z", "a"]
        image.close()
        assert list(self.open()) == ["a", "m", "z"]

    def test_negative_indexes_count_from_the_coarsest(self):
        self.write_pyramid()
        image = self.open()
        assert [image.level_shape(i) for i in (-1, -2, -3)] == [
            (3, 7),
            (5, 10),
            (10, 20),
        ]
        assert image.level_uri(-1) == image.level_uri("odd")

    def test_bool_counts_as_an_index(self):
        self.write_pyramid()
        image = self.open()
        assert image.level_shape(False) == (10, 20)
        assert image.level_shape(True) == (5, 10)

    @pytest.mark.parametrize(
        "method",
        [
            "level_shape",
            "level_uri",
            "get_transform_to_level",
            "get_transform_from_level",
            "read_spatial_region",
        ],
    )
    @pytest.mark.parametrize(
        ("level", "kind"),
        [
            (3, IndexError),
            (-4, IndexError),
            ("nope", KeyError),
            ("", KeyError),
            (1.0, TypeError),
            (None, TypeError),
        ],
        ids=repr,
    )
    def test_levels_that_are_none_are_refused(self, method, level, kind):
        self.write_pyramid()
        image = self.open()
        if method == "level_uri" and kind is TypeError:
            kind = (TypeError, KeyError)  # upstream looks for a level named "1.0"
        with self.unchanged(image), self.raises(kind, match="level"):
            getattr(image, method)(level)

    def test_transform_of_the_reference_level_is_the_identity(self):
        self.write_pyramid()
        image = self.open()
        for level in (0, False, "level0"):
            for method in ("get_transform_to_level", "get_transform_from_level"):
                facts = transform_facts(getattr(image, method)(level))
                assert facts["class"] == "IdentityTransform"
                assert facts["matrix"] == np.eye(3).tolist()

    def test_transforms_scale_by_the_ratio_of_the_shapes(self):
        self.write_pyramid()
        image = self.open()
        to, back = (
            image.get_transform_to_level(2),
            image.get_transform_from_level("odd"),
        )
        assert transform_facts(to)["class"] == "ScaleTransform"
        np.testing.assert_array_equal(to.scale_factors, [7 / 20, 3 / 10])
        np.testing.assert_array_equal(back.scale_factors, [20 / 7, 10 / 3])
        assert tuple(to.input_axes) == tuple(to.output_axes) == ("x", "y")

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test_transforms_of_every_case_scale_in_coordinate_order(self, case: ImageCase):
        self.write_case(case)
        image = self.open()
        by_size = sorted(case.levels, key=lambda key: (_negated(case.levels[key]), key))
        base = dict(zip(case.data_axes, case.levels[by_size[0]], strict=True))
        for key, shape in case.levels.items():
            size = dict(zip(case.data_axes, shape, strict=True))
            to = image.get_transform_to_level(key)
            expected = [size[axis] / base[axis] for axis in case.axis_names]
            np.testing.assert_array_equal(to.scale_factors, expected)
            back = image.get_transform_from_level(key)
            expected = [base[axis] / size[axis] for axis in case.axis_names]
            np.testing.assert_array_equal(back.scale_factors, expected)

    def test_equal_sizes_scale_by_one(self):
        self.write_levels(("a", np.zeros((4, 6), "u1")), ("b", np.zeros((4, 6), "u1")))
        facts = transform_facts(self.open().get_transform_to_level("b"))
        assert facts["class"] == "ScaleTransform"
        assert facts["scale_factors"] == [1.0, 1.0]

    def test_bigger_level_added_later_becomes_the_reference(self):
        self.write_case(CASES_BY_NAME["bigger_level_later"])
        image = self.open()
        assert list(image.levels()) == ["large", "small"]
        assert image.level_shape(0) == (2, 11, 15)
        np.testing.assert_array_equal(
            image.get_transform_to_level("small").scale_factors, [7 / 15, 5 / 11]
        )

    def test_added_level_is_open_for_writing_and_read_back(self):
        pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)
        image = self.create()
        array = image.add_new_level("level1", shape=(4, 6))
        assert array.mode == "w"
        assert array.shape == (4, 6)
        write(array, pixels)
        image.close()
        image = self.open()
        np.testing.assert_array_equal(np.asarray(image["level1"].read()), pixels)
        assert image.levels()["level1"][1] == (4, 6)

    def test_level_can_be_added_to_an_image_opened_again(self):
        self.create().close()
        with self.open("w") as image:
            image.add_new_level("level1", shape=(5, 10))
        assert self.open().level_count == 2

    @pytest.mark.parametrize("key", ["level0", "level1"])
    def test_taken_key_is_refused(self, key):
        image = self.create()
        image.add_new_level("level1", shape=(5, 10))
        with self.unchanged(image), self.raises(KeyError, match=key):
            image.add_new_level(key, shape=(5, 10))

    @pytest.mark.parametrize("shape", [(5,), (1, 5, 10), ()], ids=str)
    def test_wrong_number_of_axes_is_refused(self, shape):
        image = self.create()
        with self.raises(ValueError, match="shape"):
            image.add_new_level("level1", shape=shape)

    def test_other_channel_count_is_refused(self):
        image = self.create(
            level_shape=(10, 20, 3),
            has_channel_axis=True,
            data_axis_order=("y", "x", CHANNEL),
        )
        with self.raises(ValueError, match="channel"):
            image.add_new_level("level1", shape=(5, 10, 4))

    def test_level_uri_is_the_folder_of_the_escaped_key(self):
        self.create(level_key="l 1/é*").close()
        image = self.open()
        assert image.level_uri(0).endswith("/pyramid.soma/l%201%2F%C3%A9%2A")
        assert image.levels()["l 1/é*"] == (image.level_uri(0), (10, 20))


def _negated(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-size for size in shape)
