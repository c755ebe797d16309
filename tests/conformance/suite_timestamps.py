"""Timestamps: opening the past, writing at a given time."""

from __future__ import annotations

import numpy as np
import pytest

from .store_suite import StoreSuite, write

T0 = 1_700_000_000_000
OLD = np.arange(200, dtype=np.uint8).reshape(10, 20)
NEW = OLD[::-1].copy()


class TimestampSuite(StoreSuite):
    @pytest.fixture(autouse=True)
    def _history(self, _store):
        with self.create(tiledb_timestamp=T0) as image:
            write(image["level0"], OLD)
        with self.open("w", tiledb_timestamp=T0 + 1000) as image:
            write(image.add_new_level("level1", shape=(5, 10)), OLD[::2, ::2])
            write(image["level0"], NEW)
            image.metadata["step"] = 2
            image.coordinate_space = self.space(("x", "µm"), ("y", "µm"))
        with self.open("d", tiledb_timestamp=T0 + 2000) as image:
            del image["level1"]

    def test_image_does_not_exist_before_it_was_created(self):
        assert not self.soma.MultiscaleImage.exists(self.uri, tiledb_timestamp=T0 - 1)
        assert self.soma.MultiscaleImage.exists(self.uri, tiledb_timestamp=T0)
        with self.raises("SOMAError", match="soma_object_type|no image"):
            self.open(tiledb_timestamp=T0 - 1)

    @pytest.mark.parametrize("age", [0, 999])
    def test_the_past_shows_old_pixels_levels_and_metadata(self, age):
        image = self.open(tiledb_timestamp=T0 + age)
        assert list(image) == list(image.levels()) == ["level0"]
        assert "step" not in image.metadata
        assert image.coordinate_space.axes[0].unit is None
        np.testing.assert_array_equal(np.asarray(image["level0"].read()), OLD)
        np.testing.assert_array_equal(image.read_spatial_region(0).data, OLD)

    @pytest.mark.parametrize("age", [1000, 1999])
    def test_between_the_changes_both_levels_are_there(self, age):
        image = self.open(tiledb_timestamp=T0 + age)
        assert list(image) == list(image.levels()) == ["level0", "level1"]
        assert image.metadata["step"] == 2
        assert image.coordinate_space.axes[0].unit == "µm"
        np.testing.assert_array_equal(np.asarray(image["level0"].read()), NEW)
        np.testing.assert_array_equal(np.asarray(image["level1"].read()), OLD[::2, ::2])

    @pytest.mark.parametrize("age", [2000, None])
    def test_after_deletion_the_level_is_no_member(self, age):
        stamp = None if age is None else T0 + age
        image = self.open(tiledb_timestamp=stamp)
        assert list(image) == ["level0"]
        np.testing.assert_array_equal(np.asarray(image["level0"].read()), NEW)

    def test_children_inherit_the_timestamp(self):
        image = self.open(tiledb_timestamp=T0 + 500)
        assert image.tiledb_timestamp_ms == T0 + 500
        assert image["level0"].tiledb_timestamp_ms == T0 + 500

    def test_context_can_carry_the_timestamp(self):
        context = self.soma.SOMATileDBContext(timestamp=T0 + 500)
        image = self.open(context=context)
        assert image.tiledb_timestamp_ms == T0 + 500
        assert list(image.levels()) == ["level0"]

    def test_reopening_moves_in_time(self):
        image = self.open(tiledb_timestamp=T0)
        image.reopen("r", tiledb_timestamp=T0 + 1000)
        assert list(image) == ["level0", "level1"]
        assert image.tiledb_timestamp_ms == T0 + 1000

    def test_array_opens_in_the_past(self):
        uri = self.open(tiledb_timestamp=T0).level_uri("level0")
        array = self.keep(self.soma.DenseNDArray.open(uri, tiledb_timestamp=T0))
        np.testing.assert_array_equal(np.asarray(array.read()), OLD)

    def test_writers_see_the_present_whatever_their_timestamp(self):
        image = self.open("w", tiledb_timestamp=T0)
        assert list(image) == ["level0"]
        assert image.metadata["step"] == 2
