"""The image as a mapping from level keys to arrays, in every mode."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from .store_suite import StoreSuite, write

MODES = ("r", "w", "d")
PIXELS = np.arange(200, dtype=np.uint8).reshape(10, 20)


class MappingSuite(StoreSuite):
    @pytest.fixture(autouse=True)
    def _pyramid(self, _store):
        self.write_levels(
            ("level0", PIXELS), ("b", PIXELS[::2, ::2]), ("a", PIXELS[:3, :3])
        )

    @pytest.mark.parametrize("mode", MODES)
    def test_keys_length_and_membership(self, mode):
        image = self.open(mode)
        assert list(image.keys()) == list(image) == ["a", "b", "level0"]
        assert len(image) == 3
        assert "a" in image
        assert "nope" not in image
        assert 0 not in image

    @pytest.mark.parametrize("mode", MODES)
    def test_children_open_in_the_mode_of_the_image(self, mode):
        image = self.open(mode)
        assert image["a"].mode == mode
        assert image["a"].shape == (3, 3)

    def test_values_and_items_are_the_arrays(self):
        image = self.open()
        assert [array.shape for array in image.values()] == [(3, 3), (5, 10), (10, 20)]
        assert [key for key, _ in image.items()] == ["a", "b", "level0"]
        for key, array in image.items():
            assert array.shape == image.level_shape(key)

    @pytest.mark.parametrize("mode", MODES)
    def test_missing_key_is_a_key_error(self, mode):
        image = self.open(mode)
        with self.raises(KeyError, match="nope"):
            image["nope"]

    @pytest.mark.parametrize("mode", MODES)
    def test_get_returns_the_array_or_the_default(self, mode):
        image = self.open(mode)
        assert image.get("a").shape == (3, 3)
        assert image.get("nope") is None
        assert image.get("nope", 7) == 7

    @pytest.mark.parametrize("mode", MODES)
    def test_setdefault_of_a_present_key_returns_it(self, mode):
        image = self.open(mode)
        assert image.setdefault("a").shape == (3, 3)

    @pytest.mark.parametrize("mode", MODES)
    def test_empty_update_is_nothing(self, mode):
        image = self.open(mode)
        with self.unchanged(image):
            image.update({})

    def test_deleted_level_is_no_key_any_more(self):
        image = self.open("d")
        del image["a"]
        assert list(image) == ["b", "level0"]
        assert "a" not in image
        image.close()
        assert list(self.open()) == ["b", "level0"]

    def test_levels_can_be_deleted_in_write_mode_too(self):
        image = self.open("w")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            del image["a"]
        image.close()
        assert list(self.open()) == ["b", "level0"]

    def test_deleting_in_read_mode_is_refused(self):
        image = self.open("r")
        for key in ("a", "nope"):
            with self.unchanged(image), self.raises("SOMAError", match="mode"):
                del image[key]

    def test_deleting_a_missing_key_is_a_key_error(self):
        image = self.open("d")
        with self.unchanged(image), self.raises(KeyError, match="nope"):
            del image["nope"]

    def test_pop_removes_and_returns_the_open_array(self):
        image = self.open("d")
        array = image.pop("a")
        assert not array.closed
        assert array.shape == (3, 3)
        assert "a" not in image

    def test_pop_of_a_missing_key_is_a_key_error_or_the_default(self):
        image = self.open("d")
        with self.raises(KeyError, match="nope"):
            image.pop("nope")
        assert image.pop("nope", 5) == 5

    def test_popitem_removes_the_first_key(self):
        image = self.open("d")
        key, array = image.popitem()
        assert key == "a"
        assert array.shape == (3, 3)
        assert list(image) == ["b", "level0"]

    def test_clear_removes_all_and_popitem_then_fails(self):
        image = self.open("d")
        image.clear()
        assert len(image) == 0
        with self.raises(KeyError, match="empty|no level"):
            image.popitem()
        image.close()
        assert list(self.open()) == []

    @pytest.mark.parametrize("mode", ["r", "d"])
    def test_levels_are_added_in_write_mode_only(self, mode):
        image = self.open(mode)
        with self.raises("SOMAError", match="mode"):
            image.add_new_level("new", shape=(2, 2))

    @pytest.mark.parametrize("mode", ["r", "d"])
    def test_arrays_are_written_in_write_mode_only(self, mode):
        array = self.open(mode)["a"]
        with self.unchanged(), self.raises("SOMAError", match="mode"):
            write(array, PIXELS[:3, :3])

    @pytest.mark.parametrize("mode", ["w", "d"])
    def test_pixels_are_read_in_read_mode_only(self, mode):
        image = self.open(mode)
        with self.raises("SOMAError", match="mode"):
            image["a"].read()
        with self.raises("SOMAError", match="mode"):
            image.read_spatial_region(0)

    @pytest.mark.parametrize("mode", ["r", "d"])
    def test_verify_open_for_writing_wants_write_mode(self, mode):
        image = self.open(mode)
        with self.raises("SOMAError", match="mode|writ"):
            image.verify_open_for_writing()

    @pytest.mark.parametrize("mode", MODES)
    def test_closed_image_still_answers_the_getters(self, mode):
        image = self.open(mode)
        image.close()
        assert image.closed
        assert image.mode == mode
        assert image.uri == self.uri
        assert list(image.keys()) == ["a", "b", "level0"]
        assert list(image.levels()) == ["level0", "b", "a"]
        assert image.level_count == 3
        assert image.level_shape(-1) == (3, 3)
        assert image.nchannels == 1
        assert image.data_axis_order == ("y", "x")
        assert image.coordinate_space.axis_names == ("x", "y")
        assert image.get_transform_to_level(1).scale_factors.tolist() == [0.5, 0.5]

    def test_closed_image_refuses_changes(self):
        image = self.open("w")
        image.close()
        with self.unchanged(image):
            with self.raises("SOMAError", match="closed"):
                image.add_new_level("new", shape=(2, 2))
            with self.raises("SOMAError", match="closed"):
                del image["a"]
            with self.raises("SOMAError", match="closed"):
                image.verify_open_for_writing()
            with self.raises("SOMAError", match="closed"):
                image.coordinate_space = self.space("x", "y")
            with self.raises("SOMAError", match="closed"):
                image.metadata["a"] = 1
            with self.raises("SOMAError", match="closed"):
                image.metadata["soma_object_type"]

    def test_closing_the_image_closes_its_children(self):
        image = self.open()
        array = image["a"]
        image.close()
        assert array.closed

    def test_reopening_changes_the_object_itself(self):
        image = self.open()
        assert image.reopen("w") is image if self.is_ours else image.reopen("w")
        assert image.mode == "w"
        assert not image.closed
        image.add_new_level("new", shape=(2, 2))
        image.reopen("r")
        assert image.mode == "r"
        assert "new" in image
        assert image["new"].mode == "r"

    def test_closed_image_can_be_reopened(self):
        image = self.open()
        image.close()
        image.reopen("r")
        assert not image.closed
        np.testing.assert_array_equal(np.asarray(image["level0"].read()), PIXELS)

    def test_reopening_saves_what_was_changed(self):
        image = self.open("w")
        image.metadata["note"] = "kept"
        image.reopen("r")
        assert image.metadata["note"] == "kept"
        assert self.open().metadata["note"] == "kept"

    def test_fetching_twice_gives_the_same_object(self):
        image = self.open()
        first, second = image["a"], image["a"]
        if self.is_ours:
            assert first is second
        assert first.uri == second.uri

    def test_images_are_equal_only_to_themselves(self):
        one, two = self.open(), self.open()
        assert one == one
        assert one != two
        assert len({one, two}) == 2
