"""Adding, setting and deleting levels: what this package does better than upstream."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import napari_msimage

from .cases import CHANNEL
from .improved_create import REFUSED_KEYS
from .store_suite import StoreSuite, memory_facts, write

PIXELS = np.arange(200, dtype=np.uint8).reshape(10, 20)

FAILED_ADDS = {
    "zero_size": (("new", (5, 0)), "shape"),
    "negative_size": (("new", (-5, 10)), "shape"),
    "huge_size": (("new", (5, 2**60)), "shape"),
    "too_few_axes": (("new", (5,)), "shape"),
    "too_many_axes": (("new", (1, 5, 10)), "shape"),
    "float_size": (("new", (5.5, 10)), "shape"),
    "taken_key": (("level0", (5, 10)), "level0"),
    "key_of_int": ((3, (5, 10)), "level key"),
    **{
        f"key_{name}": ((key, (5, 10)), "level key")
        for name, key in REFUSED_KEYS.items()
    },
}


class ImprovedLevelsSuite(StoreSuite):
    @pytest.fixture(autouse=True)
    def _pyramid(self, _store):
        self.write_levels(("level0", PIXELS), ("level1", PIXELS[::2, ::2]))

    @pytest.mark.parametrize("name", FAILED_ADDS)
    def test_failed_add_changes_nothing(self, name):
        (key, shape), match = FAILED_ADDS[name]
        image = self.open("w")
        with self.unchanged(image), self.raises("SOMAError", match=match):
            image.add_new_level(key, shape=shape)
        image.close()
        assert list(self.open().levels()) == ["level0", "level1"]

    @pytest.mark.parametrize("mode", ["r", "d"])
    def test_add_in_the_wrong_mode_changes_nothing(self, mode):
        image = self.open(mode)
        with self.unchanged(image), self.raises("SOMAError", match="mode"):
            image.add_new_level("new", shape=(2, 2))

    def test_add_to_another_channel_count_changes_nothing(self):
        uri = self.sibling("channels")
        image = self.create(
            uri,
            level_shape=(10, 20, 3),
            has_channel_axis=True,
            data_axis_order=("y", "x", CHANNEL),
        )
        with self.unchanged(image), self.raises(ValueError, match="channel"):
            image.add_new_level("level1", shape=(5, 10, 4))

    @pytest.mark.parametrize("key", ["k" * 100, "é" * 50, "a" * 99 + "/"], ids=len)
    def test_keys_of_a_hundred_bytes_are_taken(self, key):
        with self.open("w") as image:
            write(image.add_new_level(key, shape=(2, 3)), PIXELS[:2, :3])
        np.testing.assert_array_equal(self.open()[key].read(), PIXELS[:2, :3])

    def test_numpy_integers_index_levels(self):
        image = self.open()
        one = np.int64(1)
        assert image.level_uri(one) == image.level_uri("level1")
        assert image.level_shape(one) == (5, 10)
        assert image.get_transform_to_level(one).scale_factors.tolist() == [0.5, 0.5]
        assert image.read_spatial_region(one).data.shape == (5, 10)

    # Deleting

    def delete(self, image, key):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            del image[key]

    def assert_gone(self, image):
        assert list(image) == list(image.levels()) == ["level0"]
        assert image.level_count == 1
        assert not [key for key in image.metadata if key.endswith("level1")]
        for method in ("level_shape", "level_uri", "get_transform_to_level"):
            with self.raises(KeyError, match="level1"):
                getattr(image, method)("level1")
            with self.raises(IndexError, match="level"):
                getattr(image, method)(1)
        with self.raises(KeyError, match="level1"):
            image["level1"]

    @pytest.mark.parametrize("mode", ["w", "d"])
    def test_deleted_level_is_gone(self, mode):
        image = self.open(mode)
        self.delete(image, "level1")
        self.assert_gone(image)
        image.close()
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # nothing is left over
            self.assert_gone(self.open())

    @pytest.mark.parametrize("when", ["same session", "next session"])
    def test_name_of_a_deleted_level_can_be_used_again(self, when):
        image = self.open("w")
        self.delete(image, "level1")
        if when == "next session":
            image.close()
            image = self.open("w")
        fresh = np.full((3, 4), 7, np.uint8)
        array = image.add_new_level("level1", shape=(3, 4))
        array.write((slice(0, 1),), fresh[:2])
        image.close()
        image = self.open()
        assert image.level_shape("level1") == (3, 4)
        expected = fresh.copy()
        expected[2] = 255
        np.testing.assert_array_equal(image["level1"].read(), expected)

    def test_deleting_and_adding_again_many_times(self):
        for value in range(4):
            with self.open("w") as image:
                self.delete(image, "level1")
                added = image.add_new_level("level1", shape=(2, 3))
                write(added, np.full((2, 3), value, np.uint8))
            assert (self.open()["level1"].read() == value).all()

    @pytest.mark.parametrize(
        "stamp", [None, 1_700_000_000_000], ids=["now", "explicit"]
    )
    @pytest.mark.parametrize("reopen", [False, True], ids=["at_once", "in_turns"])
    def test_adding_and_deleting_in_one_session(self, stamp, reopen):
        for trial in range(8):  # the order of equal timestamps is random
            uri = self.sibling(f"image{trial}")
            self.create(uri, tiledb_timestamp=stamp).close()
            image = self.open("w", uri, tiledb_timestamp=stamp)
            image.add_new_level("b", shape=(5, 5))
            for key in ("level0", "b"):
                if reopen:
                    image.reopen("w", tiledb_timestamp=stamp)
                image.add_new_level(f"after {key}", shape=(4, 4))
                self.delete(image, key)
            image.close()
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                image = self.open(uri=uri, tiledb_timestamp=stamp and stamp + 10)
            assert list(image) == list(image.levels()) == ["after b", "after level0"]

    def test_level_added_in_the_session_can_be_deleted(self):
        with self.open("w") as image:
            image.add_new_level("new", shape=(3, 4))
            self.delete(image, "new")
            assert "new" not in image
        assert list(self.open().levels()) == ["level0", "level1"]

    def test_deleting_twice_is_a_key_error(self):
        image = self.open("d")
        del image["level1"]
        with self.raises(KeyError, match="level1"):
            del image["level1"]

    def test_without_the_reference_level_the_next_one_takes_over(self):
        with self.open("d") as image:
            del image["level0"]
            assert image.level_shape(0) == (5, 10)
        image = self.open()
        assert list(image.levels()) == ["level1"]
        assert type(image.get_transform_to_level(0)).__name__ == "IdentityTransform"

    def test_image_without_levels_still_answers(self):
        with self.open("d") as image:
            image.clear()
        image = self.open()
        assert image.level_count == len(image) == 0
        assert image.levels() == {}
        assert image.coordinate_space.axis_names == ("x", "y")
        assert image.nchannels == 1
        with self.raises(IndexError, match="level"):
            image.read_spatial_region(0)
        image.close()
        with self.open("w") as image:
            image.add_new_level("level0", shape=(4, 4))
        assert self.open().level_shape(0) == (4, 4)

    def test_pop_returns_an_array_with_its_shape(self):
        with self.open("d") as image:
            assert image.pop("level1").shape == (5, 10)
        assert list(self.open()) == ["level0"]

    # Setting

    def make_array(self, name="made", shape=(3, 4), kind="uint8"):
        pixels = np.full(shape, 9, kind)
        array = napari_msimage.DenseNDArray.create(
            self.sibling(name), type=kind, shape=shape
        )
        write(array, pixels)
        array.close()
        return self.keep(napari_msimage.DenseNDArray.open(self.sibling(name)))

    def test_existing_array_outside_becomes_a_level(self):
        array = self.make_array()
        with self.open("w") as image:
            image["made"] = array
            assert "made" in image
            assert image.level_shape("made") == (3, 4)
        image = self.open()
        assert list(image.levels()) == ["level0", "level1", "made"]
        assert (image["made"].read() == 9).all()

    def test_existing_array_inside_becomes_a_level(self):
        array = self.make_array("pyramid.soma/inside")
        with self.open("w") as image:
            assert image.set("inside", array) is image
        image = self.open()
        assert (image["inside"].read() == 9).all()
        assert image.level_uri("inside").endswith("/pyramid.soma/inside")

    def test_update_and_setdefault_take_arrays(self):
        array, other = self.make_array("one"), self.make_array("two")
        with self.open("w") as image:
            image.update({"one": array})
            image.setdefault("two", other)
        assert list(self.open().levels()) == ["level0", "level1", "one", "two"]

    @pytest.mark.parametrize(
        ("shape", "kind"), [((3, 4), "uint16"), ((3,), "uint8"), ((2, 3, 4), "uint8")]
    )
    def test_array_that_does_not_fit_is_refused(self, shape, kind):
        array = self.make_array(shape=shape, kind=kind)
        image = self.open("w")
        with self.unchanged(image), self.raises(ValueError, match="type|shape|axes"):
            image["made"] = array

    def test_array_of_another_channel_count_is_refused(self):
        uri = self.sibling("channels")
        image = self.create(uri, level_shape=(3, 10, 20), has_channel_axis=True)
        array = self.make_array(shape=(2, 5, 10))
        with self.unchanged(image), self.raises(ValueError, match="channel"):
            image["made"] = array

    @pytest.mark.parametrize("value", [PIXELS, None, 3, "level0"], ids=type)
    def test_only_arrays_can_be_set(self, value):
        image = self.open("w")
        with self.unchanged(image), self.raises(TypeError, match="DenseNDArray"):
            image["new"] = value

    @pytest.mark.parametrize("mode", ["r", "d", "closed"])
    def test_setting_wants_write_mode(self, mode):
        array = self.make_array()
        image = self.open("w" if mode == "closed" else mode)
        if mode == "closed":
            image.close()
        with self.unchanged(image), self.raises("SOMAError", match="mode|closed"):
            image["made"] = array

    def test_setting_an_existing_key_replaces_or_refuses_but_never_breaks(self):
        array = self.make_array()
        with self.open("w") as image:
            try:
                image["level1"] = array
            except KeyError:
                expected = (5, 10)
            else:
                expected = (3, 4)
        image = self.open()
        assert image.level_shape("level1") == image["level1"].shape == expected

    @pytest.mark.parametrize("name", REFUSED_KEYS)
    def test_refused_keys_cannot_be_set_either(self, name):
        array = self.make_array()
        image = self.open("w")
        with self.unchanged(image), self.raises("SOMAError", match="level key"):
            image[REFUSED_KEYS[name]] = array

    # Holding on

    def test_children_keep_the_image_alive(self):
        uri = self.uri
        image_class = napari_msimage.MultiscaleImage
        np.testing.assert_array_equal(image_class.open(uri)["level0"].read(), PIXELS)
        assert (
            image_class.open(uri).metadata["soma_object_type"] == "SOMAMultiscaleImage"
        )
        array = image_class.open(uri)["level1"]
        assert not array.closed
        array.close()

    def test_closed_image_gives_no_children_and_no_pixels(self):
        image = self.open()
        fetched = image["level1"]
        image.close()
        before = memory_facts(image)
        for key in ("level0", "level1"):  # never fetched, and fetched before
            with self.raises("SOMAError", match="closed"):
                image[key]
            with self.raises("SOMAError", match="closed"):
                image.read_spatial_region(key)
        with self.raises("SOMAError", match="closed"):
            fetched.read()
        with self.raises("SOMAError", match="closed"):
            image.metadata["soma_object_type"]
        assert memory_facts(image) == before

    def test_reopening_returns_the_same_object_and_follows_the_mode(self):
        image = self.open()
        for mode in ("w", "r", "d", "r"):
            assert image.reopen(mode) is image
            assert image.mode == mode
            assert image["level0"].mode == mode

    def test_reopening_in_an_unknown_mode_changes_nothing(self):
        image = self.open()
        with self.unchanged(image), self.raises(ValueError, match="mode"):
            image.reopen("x")
        np.testing.assert_array_equal(image["level0"].read(), PIXELS)
