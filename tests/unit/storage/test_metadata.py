"""Strict reading of the format's entries, and the mapping that users see."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from napari_msimage.errors import (
    ArgumentError,
    ArgumentTypeError,
    FormatError,
    LevelKeyError,
    ModeError,
)
from napari_msimage.storage import _metadata as metadata
from napari_msimage.storage._metadata import Metadata, Unreadable

SCHEMA = {
    "data_axis_permutation": [2, 1, 0],
    "shape": [3, 97, 130],
    "has_channel_axis": True,
    "datatype": "C",
}
GOOD = {
    "soma_object_type": "SOMAMultiscaleImage",
    "soma_encoding_version": "1.1.0",
    "soma_spatial_encoding_version": "0.2.0",
    "soma_coordinate_space": '[{"name":"x","unit":null},{"name":"y","unit":"um"}]',
    "soma_multiscale_image_schema": json.dumps(SCHEMA),
    "soma_level_level0": "[3, 97, 130]",
}

# Reading


def test_good_entries_are_read():
    space, schema = metadata.read_image_metadata(GOOD, "u")
    assert [(axis.name, axis.unit) for axis in space] == [("x", None), ("y", "um")]
    assert schema.data_axis_permutation == (2, 1, 0)
    assert schema.shape == (3, 97, 130)
    assert schema.dtype == np.uint8
    assert json.loads(schema.to_json()) == SCHEMA
    assert metadata.read_level_shape(GOOD, "level0", "u") == (3, 97, 130)


def test_bytes_are_read_as_utf8():
    entries = {key: value.encode() for key, value in GOOD.items()}
    assert metadata.read_image_metadata(entries, "u")[1].has_channel_axis


@pytest.mark.parametrize("key", list(GOOD)[:5])
@pytest.mark.parametrize("value", [None, 5, 2.5, b"\xff", "", "]", "null", ()], ids=str)
def test_each_entry_is_needed_and_checked(key, value):
    entries = dict(GOOD)
    if value is None:
        del entries[key]
    else:
        entries[key] = value
    with pytest.raises(FormatError, match=rf"{key}|The object at 'u' is a "):
        metadata.read_image_metadata(entries, "u")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("soma_object_type", "SOMAScene"),
        ("soma_encoding_version", "2"),
        ("soma_spatial_encoding_version", "9.9"),
    ],
)
def test_other_types_and_versions_are_named(key, value):
    with pytest.raises(FormatError, match=value):
        metadata.read_image_metadata({**GOOD, key: value}, "u")


def test_object_type_is_compared_without_case():
    entries = {**GOOD, "soma_object_type": "somamultiscaleimage"}
    assert metadata.read_image_metadata(entries, "u")[1].dtype == np.uint8


@pytest.mark.parametrize(
    "change",
    [
        {"data_axis_permutation": [0, 1]},
        {"data_axis_permutation": [0, 1, 1]},
        {"data_axis_permutation": [2.0, 1.0, 0.0]},
        {"data_axis_permutation": [True, 2, 0]},
        {"data_axis_permutation": "210"},
        {"has_channel_axis": 1},
        {"has_channel_axis": "true"},
        {"has_channel_axis": []},
        {"datatype": "b"},
        {"datatype": "zz"},
        {"datatype": 5},
        {"datatype": None},
        {"extra": 1},
    ],
    ids=str,
)
def test_impossible_schemas_are_refused(change):
    entries = {**GOOD, "soma_multiscale_image_schema": json.dumps({**SCHEMA, **change})}
    with pytest.raises(FormatError, match="soma_multiscale_image_schema"):
        metadata.read_image_metadata(entries, "u")


@pytest.mark.parametrize("shape", [[1], "wrong", None, 5, [[1], 2, 3], {}], ids=str)
def test_shape_in_the_schema_is_informational(shape):
    text = json.dumps({**SCHEMA, "shape": shape})
    entries = {**GOOD, "soma_multiscale_image_schema": text}
    assert metadata.read_image_metadata(entries, "u")[1].dtype == np.uint8


@pytest.mark.parametrize("text", ["[3, 97.0, 130]", " [3,97,130] ", "[3e0, 97, 130]"])
def test_whole_floats_are_sizes_as_upstream_writes_them(text):
    entries = {"soma_level_a": text}
    assert metadata.read_level_shape(entries, "a", "u") == (3, 97, 130)


BAD_SHAPES = [
    *("", "null", "5", '"abc"', "{}", "[NaN]", "[1e400]", "[-1, 5]", "[0]", "[1.5]"),
    *("[true]", "[[1]]", '["1"]', "[" * 2000, "[" + "9" * 5000 + "]", "[2147483649]"),
    *("[2147483648, 2147483648]", "[" + "1," * 40000 + "1]", "[1, 2", "[null]"),
]


@pytest.mark.parametrize("text", BAD_SHAPES, ids=lambda text: text[:12])
def test_impossible_level_shapes_are_refused(text):
    with pytest.raises(FormatError, match="soma_level_a"):
        metadata.read_level_shape({"soma_level_a": text}, "a", "u")


def test_shapes_of_numpy_integers_become_plain():
    shape = metadata.check_shape(np.array([3, 4], np.uint8))
    assert shape == (3, 4)
    assert {type(size) for size in shape} == {int}


# The mapping


class Owner:
    def __init__(self, values=()):
        self.allowed = {"read", "write"}
        self.metadata = Metadata(dict(values), self.guard, "u")

    def guard(self, access):
        if access not in self.allowed:
            raise ModeError(f"no {access}")


@pytest.fixture
def entries():
    return Owner({"a": 1, "b": "text", "nan": math.nan}).metadata


def test_only_what_changed_is_written(entries):
    entries["a"] = 1
    entries["b"] = "other"
    entries["c"] = b"new"
    del entries["nan"]
    assert entries.changes() == ({"b": "other", "c": b"new"}, ["nan"])
    entries.written()
    assert entries.changes() == ({}, [])
    assert dict(entries) == {"a": 1, "b": "other", "c": b"new"}


def test_same_number_of_another_type_is_a_change(entries):
    entries["a"] = 1.0
    assert entries.changes() == ({"a": 1.0}, [])


def test_not_a_number_is_no_change(entries):
    assert entries.changes() == ({}, [])


def test_entry_taken_back_is_no_change(entries):
    entries["a"] = 2
    entries["a"] = 1
    entries["new"] = 3
    del entries["new"]
    assert entries.changes() == ({}, [])


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (True, 1),
        (np.int8(5), 5),
        (np.float32(0.5), 0.5),
        ("é", "é"),
        (b"\xff", b"\xff"),
    ],
    ids=str,
)
def test_values_are_stored_as_plain_types(entries, value, stored):
    entries["k"] = value
    assert entries["k"] == stored
    assert type(entries["k"]) is type(stored)


@pytest.mark.parametrize(
    "value",
    [None, [1], {}, 1j, np.zeros(2), object()],
    ids=lambda value: type(value).__name__,
)
def test_other_values_are_refused(entries, value):
    with pytest.raises(ArgumentTypeError, match="must be str, bytes, int or float"):
        entries["k"] = value
    assert "k" not in entries


@pytest.mark.parametrize("value", ["a\0", "\ud800", 2**63, -(2**63) - 1], ids=repr)
def test_values_that_cannot_be_stored_are_refused(entries, value):
    with pytest.raises(ArgumentError, match="'k'"):
        entries["k"] = value
    assert entries.changes() == ({}, [])


@pytest.mark.parametrize(
    "key", ["", "a\0", "soma_object_type", "soma_encoding_version"]
)
def test_keys_that_cannot_be_set_are_refused(entries, key):
    with pytest.raises(ArgumentError, match="metadata"):
        entries[key] = 1
    with pytest.raises(ArgumentError, match="metadata"):
        del entries[key]


def test_missing_keys_are_key_errors(entries):
    with pytest.raises(LevelKeyError, match="No metadata entry 'z' at 'u'"):
        entries["z"]
    with pytest.raises(LevelKeyError, match="No metadata entry 'z' at 'u'"):
        del entries["z"]
    assert entries.get("z", 5) == 5


@pytest.mark.parametrize("size", [2**22, 2**23])
def test_more_than_can_be_read_again_is_not_written(entries, size):
    with pytest.raises(ArgumentError, match="at most 4194304 bytes"):
        entries["k"] = "x" * size
    entries["k"] = "x" * (2**22 - 1)
    with pytest.raises(ArgumentError, match="at most 4194304 bytes"):
        entries["l"] = b"x"
    entries["k"] = "small"  # replaced, not added
    entries["l"] = "é" * 2**20
    assert set(entries.changes()[0]) == {"k", "l"}


def test_large_entries_of_an_earlier_session_do_not_count(entries):
    for i in range(3):
        entries["k"] = str(i) * (2**22 - 5)
        entries.written()
    assert entries["k"][0] == "2"


def test_unreadable_values_say_so_and_survive():
    entries = Owner({"flag": Unreadable()}).metadata
    with pytest.raises(FormatError, match="stored as a boolean"):
        entries["flag"]
    assert entries.changes() == ({}, [])
    entries["flag"] = 1
    assert entries.changes() == ({"flag": 1}, [])


def test_every_access_asks_whether_it_is_allowed():
    owner = Owner({"a": 1})
    owner.allowed = {"read"}
    with pytest.raises(ModeError, match="no write"):
        owner.metadata["a"] = 2
    with pytest.raises(ModeError, match="no write"):
        del owner.metadata["a"]
    owner.allowed = set()
    for read in (len, list, lambda m: m["a"], lambda m: "a" in m, dict):
        with pytest.raises(ModeError, match="no read"):
            read(owner.metadata)
    assert repr(owner.metadata) == "<Metadata of 'u': ['a']>"


def test_views_share_the_entries(entries):
    view = entries.view(object())
    view["k"] = 1
    assert entries["k"] == 1
    entries.written()
    assert view.changes() == ({}, [])


@pytest.mark.parametrize("kind", ["SOMAScene", "SOMACollection", "SOMAExperiment"])
def test_containers_of_images_say_where_to_look(kind):
    with pytest.raises(FormatError, match=rf"is a '{kind}'.*open the folder of one"):
        metadata.check_object({"soma_object_type": kind}, "SOMAMultiscaleImage", "u")


def test_a_group_without_a_type_is_called_so():
    with pytest.raises(FormatError, match="TileDB group or array that does not say"):
        metadata.check_object({}, "SOMAMultiscaleImage", "u")
