"""Metadata and the coordinate space of an open image."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from .describe import space_facts
from .store_suite import StoreSuite

VALUES = {
    "text": "gölden µ",
    "empty": "",
    "int": 42,
    "negative": -(2**62),
    "float": 3.25,
    "infinity": float("inf"),
    "long": "x" * 100_000,
}


class MetadataSuite(StoreSuite):
    @pytest.mark.parametrize("key", VALUES)
    def test_values_come_back(self, key):
        image = self.create()
        image.metadata[key] = VALUES[key]
        assert image.metadata[key] == VALUES[key]
        image.close()
        value = self.open().metadata[key]
        assert value == VALUES[key]
        assert type(value) is type(VALUES[key])

    def test_numpy_float_is_a_float(self):
        image = self.create()
        image.metadata["pi"] = np.float64(3.25)
        image.close()
        assert self.open().metadata["pi"] == 3.25

    def test_not_a_number_comes_back(self):
        with self.create() as image:
            image.metadata["nan"] = float("nan")
        value = self.open().metadata["nan"]
        assert value != value

    @pytest.mark.parametrize(
        "value", [None, [1], (1, 2), {"a": 1}, np.arange(3), {1}], ids=repr
    )
    def test_values_of_other_types_are_refused(self, value):
        image = self.create()
        with self.unchanged(image), self.raises(TypeError, match="metadata"):
            image.metadata["key"] = value

    @pytest.mark.parametrize("key", [1, None, b"key", ("a",)], ids=repr)
    def test_keys_must_be_text(self, key):
        image = self.create()
        with self.unchanged(image), self.raises(TypeError, match="metadata"):
            image.metadata[key] = 1

    def test_missing_key_is_a_key_error(self):
        image = self.create()
        for metadata in (image.metadata, image["level0"].metadata):
            with self.raises(KeyError, match="nope"):
                metadata["nope"]
            with self.raises(KeyError, match="nope"):
                del metadata["nope"]

    def test_it_is_a_mapping(self):
        image = self.create()
        image.metadata["b"], image.metadata["a"] = 1, "two"
        metadata = image.metadata
        assert "a" in metadata
        assert "nope" not in metadata
        assert metadata.get("nope", 3) == 3
        assert len(metadata) == len(list(metadata)) == len(list(metadata.items()))
        assert dict(metadata.items())["a"] == "two"

    def test_deleted_entry_is_gone(self):
        image = self.create()
        image.metadata["a"], image.metadata["b"] = 1, 2
        del image.metadata["a"]
        assert "a" not in image.metadata
        image.close()
        image = self.open("w")
        del image.metadata["b"]
        image.close()
        assert not {"a", "b"} & set(self.open().metadata)

    def test_last_value_wins_in_one_session_and_over_sessions(self):
        for value in (1, "two", 3.0):
            image = self.create() if value == 1 else self.open("w")
            image.metadata["key"] = "earlier"
            image.metadata["key"] = value
            image.close()
            assert self.open().metadata["key"] == value

    def test_deleted_and_set_again_is_set(self):
        image = self.create()
        image.metadata["key"] = 1
        image.close()
        image = self.open("w")
        del image.metadata["key"]
        image.metadata["key"] = 2
        image.close()
        assert self.open().metadata["key"] == 2

    @pytest.mark.parametrize("mode", ["r", "d"])
    def test_changes_want_write_mode(self, mode):
        image = self.create()
        image.metadata["key"] = 1
        image.close()
        image = self.open(mode)
        with self.unchanged(image):
            with self.raises("SOMAError", match="mode"):
                image.metadata["key"] = 2
            with self.raises("SOMAError", match="mode"):
                del image.metadata["key"]
            with self.raises("SOMAError", match="mode"):
                image.coordinate_space = self.space("x", "y")
        assert image.metadata["key"] == 1

    def test_arrays_have_metadata_too(self):
        image = self.create()
        image["level0"].metadata["note"] = "level"
        image.close()
        array = self.open()["level0"]
        assert array.metadata["note"] == "level"
        assert array.metadata["soma_object_type"] == "SOMADenseNDArray"

    def test_units_of_the_coordinate_space_can_be_changed(self):
        self.create().close()
        image = self.open("w")
        image.coordinate_space = self.space(("x", "µm"), ("y", None))
        assert space_facts(image.coordinate_space) == [("x", "µm"), ("y", None)]
        image.close()
        space = self.open().coordinate_space
        assert space_facts(space) == [("x", "µm"), ("y", None)]

    @pytest.mark.parametrize("names", [("y", "x"), ("a", "b"), ("x",), ("x", "y", "z")])
    def test_names_of_the_coordinate_space_stay(self, names):
        image = self.create()
        with self.unchanged(image), self.raises(ValueError, match="axes|axis|names"):
            image.coordinate_space = self.space(*names)

    def test_tiledb_timestamp_is_now_unless_given(self):
        image = self.create()
        age = datetime.datetime.now(datetime.UTC) - image.tiledb_timestamp
        assert abs(age.total_seconds()) < 60
