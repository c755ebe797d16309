"""Several sessions on one image at a time: nothing is lost, nothing breaks."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import napari_msimage

from .store_suite import StoreSuite, write

PIXELS = np.arange(200, dtype=np.uint8).reshape(10, 20)
T0 = 1_700_000_000_000


class ImprovedSessionsSuite(StoreSuite):
    @pytest.fixture(autouse=True)
    def _image(self, _store):
        self.write_levels(("level0", PIXELS), ("level1", PIXELS[::2, ::2]))

    def reopened(self):
        """The image as a new reader sees it; leftovers would be errors."""
        with warnings.catch_warnings():
            warnings.simplefilter("error", napari_msimage.errors.StoreWarning)
            return self.open()

    def test_levels_of_two_sessions_are_both_kept(self):
        one, two = self.open("w"), self.open("w")
        write(one.add_new_level("one", shape=(4, 4)), PIXELS[:4, :4])
        write(two.add_new_level("two", shape=(3, 3)), PIXELS[:3, :3])
        two.metadata["two"] = 2
        one.metadata["one"] = 1
        one.close()
        two.close()
        image = self.reopened()
        assert list(image.levels()) == ["level0", "level1", "one", "two"]
        assert (image.metadata["one"], image.metadata["two"]) == (1, 2)
        np.testing.assert_array_equal(image["one"].read(), PIXELS[:4, :4])
        np.testing.assert_array_equal(image["two"].read(), PIXELS[:3, :3])

    def test_same_new_level_in_two_sessions_is_refused_in_one_of_them(self):
        one, two = self.open("w"), self.open("w")
        write(one.add_new_level("new", shape=(4, 4)), PIXELS[:4, :4])
        one.close()
        with self.raises("SOMAError", match="new"):
            write(two.add_new_level("new", shape=(3, 3)), PIXELS[:3, :3])
            two.close()
        image = self.reopened()
        assert image.level_shape("new") == (4, 4)
        np.testing.assert_array_equal(image["new"].read(), PIXELS[:4, :4])

    @pytest.mark.parametrize("deleter_closes_first", [True, False])
    def test_level_deleted_beside_a_session_that_adds_stays_deleted(
        self, deleter_closes_first
    ):
        adder, deleter = self.open("w"), self.open("d")
        del deleter["level1"]
        write(adder.add_new_level("new", shape=(4, 4)), PIXELS[:4, :4])
        for session in (deleter, adder)[:: 1 if deleter_closes_first else -1]:
            session.close()
        image = self.reopened()
        assert list(image) == list(image.levels()) == ["level0", "new"]

    def test_reader_keeps_its_view_until_reopened(self):
        reader = self.open()
        with self.open("w") as writer:
            write(writer.add_new_level("new", shape=(4, 4)), PIXELS[:4, :4])
            writer.metadata["note"] = 1
            write(writer["level0"], PIXELS[::-1])
        assert list(reader) == ["level0", "level1"]
        assert "note" not in reader.metadata
        reader.reopen("r")
        assert list(reader) == ["level0", "level1", "new"]
        assert reader.metadata["note"] == 1
        np.testing.assert_array_equal(reader["level0"].read(), PIXELS[::-1])

    def test_level_deleted_under_a_reader_can_still_be_read(self):
        reader = self.open()
        with self.open("d") as deleter:
            del deleter["level1"]
        np.testing.assert_array_equal(reader["level1"].read(), PIXELS[::2, ::2])

    def test_children_keep_their_mode_when_the_image_is_reopened(self):
        image = self.open()
        array = image["level0"]
        image.reopen("w")
        np.testing.assert_array_equal(array.read(), PIXELS)
        assert (array.mode, image["level0"].mode) == ("r", "w")
        image.close()
        assert array.closed

    def test_context_timestamp_is_the_default_of_create(self):
        context = napari_msimage.SOMATileDBContext(timestamp=T0)
        uri = self.sibling("dated")
        self.create(uri, context=context).close()
        assert napari_msimage.MultiscaleImage.exists(uri, tiledb_timestamp=T0)
        assert not napari_msimage.MultiscaleImage.exists(uri, tiledb_timestamp=T0 - 1)

    def test_timestamp_images_are_opened_but_not_read(self):
        uri = self.sibling("times")
        self.create(uri, type="datetime64[s]").close()
        image = self.open(uri=uri)
        assert image.level_shape(0) == (10, 20)
        with self.raises(NotImplementedError, match="timestamp"):
            image.read_spatial_region(0)

    def test_many_sessions_leave_a_readable_image(self):
        for number in range(40):
            with self.open("w") as image:
                image.metadata[f"k{number % 3}"] = number
                image["level0"].write((0, number % 20), np.array([[number]], np.uint8))
        image = self.reopened()
        assert [image.metadata[f"k{n}"] for n in range(3)] == [39, 37, 38]
        expected = [*range(20, 40)]
        np.testing.assert_array_equal(image["level0"].read((0,))[0], expected)
