"""Collections by hand: what TileDB stores, damage, places, and sessions."""

from __future__ import annotations

import os
import shutil

import pytest
import tiledb

from napari_msimage import Collection, DenseNDArray, MultiscaleImage, Scene
from napari_msimage.errors import (
    AlreadyExistsError,
    ArgumentError,
    ArgumentTypeError,
    DoesNotExistError,
    FormatError,
    ModeError,
    UnsupportedError,
)
from napari_msimage.storage import _group, probe
from napari_msimage.storage._soma_types import canonical_type, opening_advice

IMAGE = {"type": "uint8", "level_shape": (3, 9, 11)}


@pytest.fixture
def stored(tmp_uri):
    """A collection with a member of each kind."""
    with Collection.create(tmp_uri) as made:
        made.add_new_collection("inner")
        made.add_new_collection("a b", Scene)
        made.add_new_collection("image", MultiscaleImage, **IMAGE)
        made.add_new_dense_ndarray("array", type="int16", shape=(4, 5))
    return tmp_uri


def test_what_tiledb_stores(stored):
    with tiledb.Group(stored) as group:
        assert dict(group.meta) == {
            "soma_object_type": "SOMACollection",
            "soma_encoding_version": "1.1.0",
        }
        assert {m.name: m.uri.rpartition("/")[2] for m in group} == {
            "inner": "inner",
            "a b": "a%20b",
            "image": "image",
            "array": "array",
        }
        assert all(group.is_relative(m.name) for m in group)
        kinds = {m.name: m.type for m in group}
    assert kinds.pop("array") is tiledb.Array
    assert set(kinds.values()) == {tiledb.Group}
    with tiledb.Group(f"{stored}/a%20b") as group:
        assert dict(group.meta) == {
            "soma_object_type": "SOMAScene",
            "soma_encoding_version": "1.1.0",
            "soma_spatial_encoding_version": "0.2.0",
        }


def test_probe_tells_what_members_are(stored):
    assert probe(stored) == "SOMACollection"
    assert probe(f"{stored}/a%20b") == "SOMAScene"
    assert probe(f"{stored}/array") == "SOMADenseNDArray"


def test_old_capitals_and_bytes_are_read(stored):
    with tiledb.Group(stored, "w") as group:
        group.meta["soma_object_type"] = b"somaCOLLECTION"
    with Collection.open(stored) as opened:
        assert opened.soma_type == "SOMACollection"


@pytest.mark.parametrize(
    ("opener", "place", "match"),
    [
        (Collection, "a%20b", r"'SOMAScene', not a 'SOMACollection'.*Scene\.open"),
        (Collection, "image", r"SOMAMultiscaleImage.*MultiscaleImage\.open"),
        (Scene, "", r"'SOMACollection', not a 'SOMAScene'.*Collection\.open"),
        (MultiscaleImage, "a%20b", r"'SOMAScene'.*Scene\.open.*images lie inside"),
        (MultiscaleImage, "", r"'SOMACollection'.*Collection\.open"),
    ],
)
def test_wrong_types_say_what_opens_them(stored, opener, place, match):
    with pytest.raises(FormatError, match=f"(?i){match}"):
        opener.open(f"{stored}/{place}")


@pytest.mark.parametrize(
    ("opener", "noun"), [(Collection, "collection"), (Scene, "scene")]
)
def test_what_is_no_group_is_said_in_words(stored, opener, noun):
    with pytest.raises(DoesNotExistError, match=f"array, not a {noun}"):
        opener.open(f"{stored}/array")
    os.mkdir(f"{stored}.folder")
    with pytest.raises(DoesNotExistError, match=f"the {noun} itself"):
        opener.open(f"{stored}.folder")
    with pytest.raises(DoesNotExistError, match="Nothing is stored"):
        opener.open(f"{stored}.nothing")
    with pytest.raises(DoesNotExistError, match=r"group.*SOMA dense array"):
        DenseNDArray.open(stored)


@pytest.mark.parametrize(
    ("found", "match"),
    [
        ("SOMADataFrame", r"tiledbsoma\.DataFrame"),
        ("SOMASparseNDArray", r"tiledbsoma\.SparseNDArray"),
        ("somascene", r"Scene\.open"),
        ("SOMAMeasurement", r"Collection\.open"),
    ],
)
def test_advice_on_types(found, match):
    assert canonical_type("somascene") == "SOMAScene"
    with pytest.raises(AssertionError, match=match):
        raise AssertionError(opening_advice(found))
    assert opening_advice("something") == ""


@pytest.mark.parametrize("change", ["missing", "other", "number", "version"])
def test_damaged_members_are_listed_and_said(stored, change):
    with tiledb.Group(f"{stored}/inner", "w") as group:
        match change:
            case "missing":
                del group.meta["soma_object_type"]
            case "other":
                group.meta["soma_object_type"] = "SOMAThing"
            case "number":
                group.meta["soma_object_type"] = 5
            case "version":
                group.meta["soma_encoding_version"] = "9"
    expected = {
        "missing": (FormatError, "'inner'.*does not say what it is"),
        "other": (UnsupportedError, "'inner'.*SOMAThing"),
        "number": (FormatError, "soma_object_type.*must be text"),
        "version": (FormatError, "soma_encoding_version is '9'"),
    }[change]
    with Collection.open(stored) as opened:
        assert "inner" in list(opened)
        with pytest.raises(expected[0], match=expected[1]):
            opened["inner"]
        assert opened["image"].level_count == 1


def test_member_of_another_kind_than_listed_is_said(stored):
    shutil.rmtree(f"{stored}/inner")
    shutil.copytree(f"{stored}/array", f"{stored}/inner")
    with Collection.open(stored) as opened:
        with pytest.raises(DoesNotExistError, match="array, not a collection"):
            opened["inner"]
        assert opened["array"].shape == (4, 5)


def test_too_many_members_are_refused(stored, monkeypatch):
    monkeypatch.setattr(_group, "MAX_MEMBERS", 3)
    with pytest.raises(FormatError, match="has 4 members; at most 3"):
        Collection.open(stored)


def test_damaged_files_are_refused_before_tiledb_sees_them(stored):
    (name,) = os.listdir(f"{stored}/a%20b/__meta")
    with open(f"{stored}/a%20b/__meta/{name}", "r+b") as file:
        file.truncate(20)
    with Collection.open(stored) as opened:
        with pytest.raises(FormatError, match="cut short or damaged"):
            opened["a b"]
        assert opened["inner"].soma_type == "SOMACollection"


def test_circle_of_collections_is_walked_as_far_as_asked(tmp_uri):
    with Collection.create(tmp_uri) as made:
        made.add_new_collection("inner")
    with tiledb.Group(f"{tmp_uri}/inner", "w") as group:
        group.add(tmp_uri, "outer", False, tiledb.Group)
    with Collection.open(tmp_uri) as opened:
        around = opened["inner"]["outer"]["inner"]["outer"]
        assert list(around) == ["inner"]
        assert list(opened["inner"].members_outside()) == ["outer"]
    assert around.closed


def test_new_member_belongs_to_the_collection_once_that_is_closed(stored):
    opened = Collection.open(stored, "w")
    opened.add_new_collection("late")
    with Collection.open(stored) as seen:
        assert "late" not in seen
    opened.close()
    with Collection.open(stored) as seen:
        assert "late" in seen


def test_failed_close_keeps_the_changes(stored, monkeypatch):
    from napari_msimage.storage import _group_state

    opened = Collection.open(stored, "w")
    opened.add_new_collection("late")
    opened.metadata["note"] = 1

    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_group_state, "commit", fail)
    with pytest.raises(OSError, match="No space left"):
        opened.close()
    assert not opened.closed
    monkeypatch.undo()
    opened.close()
    with Collection.open(stored) as seen:
        assert "late" in seen
        assert seen.metadata["note"] == 1


def test_nothing_is_left_where_creating_fails(tmp_uri, monkeypatch):
    from napari_msimage.storage import _group_create

    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_group_create, "commit", fail)
    with pytest.raises(OSError, match="disk is full"):
        Collection.create(f"{tmp_uri}/deep/er")
    assert not os.path.exists(tmp_uri)


@pytest.mark.parametrize("uri", [".", "./", "..", "../..", "a/__b", "", "a\0b"])
def test_impossible_places_are_refused(tmp_uri, uri):
    with Collection.create(tmp_uri) as made:
        with pytest.raises(
            ArgumentError, match=r"own folder|belong to TileDB|non-empty"
        ):
            made.add_new_collection("x", uri=uri)
        assert list(made) == []


def test_places_beside_and_below(tmp_uri):
    with Collection.create(tmp_uri) as made:
        made.add_new_collection("beside", uri="../beside")
        made.add_new_collection("below", uri="a/b")
        with pytest.raises(AlreadyExistsError, match="already there"):
            made.add_new_dense_ndarray("again", uri="a/b", type="uint8", shape=(2,))
    with tiledb.Group(tmp_uri) as group:
        assert [group.is_relative(name) for name in ("beside", "below")] == [True, True]
    with Collection.open(tmp_uri) as opened:
        assert list(opened.members_outside()) == ["beside"]
        assert opened["beside"].soma_type == "SOMACollection"
        assert opened["below"].soma_type == "SOMACollection"


def test_objects_beside_get_relative_members_when_asked(tmp_uri):
    other = f"{tmp_uri}.other"
    Collection.create(other).close()
    with Collection.create(tmp_uri) as made, Collection.open(other) as value:
        made.set("near", value, use_relative_uri=True)
        made.set("far", value)
    with tiledb.Group(tmp_uri) as group:
        assert (group.is_relative("near"), group.is_relative("far")) == (True, False)
    with Collection.open(tmp_uri) as opened:
        assert opened["near"].soma_type == opened["far"].soma_type


@pytest.mark.parametrize("kind", [int, "Scene", DenseNDArray, object()])
def test_kinds_that_are_no_groups_are_refused(tmp_uri, kind):
    with (
        Collection.create(tmp_uri) as made,
        pytest.raises(ArgumentTypeError, match="kind must be Collection"),
    ):
        made.add_new_collection("x", kind)


def test_options_that_the_kind_lacks_are_named(tmp_uri):
    with Collection.create(tmp_uri) as made:
        with pytest.raises(ArgumentTypeError, match=r"coordinate_space.*\['shape'\]"):
            made.add_new_collection("x", Scene, shape=3)
        with pytest.raises(ArgumentTypeError, match=r"lacks \['level_shape'\]"):
            made.add_new_collection("x", MultiscaleImage, type="uint8")
        with pytest.raises(ArgumentTypeError, match=r"unknown \['context'\]"):
            made.add_new_collection("x", context=None)


def test_reopened_member_outlives_its_collection(stored):
    with Collection.open(stored) as opened:
        inner = opened["inner"]
    assert inner.closed
    inner.reopen("w")
    inner.metadata["note"] = 1
    inner.close()
    with Collection.open(f"{stored}/inner") as seen:
        assert seen.metadata["note"] == 1


def test_array_of_a_collection_writes_with_it(stored):
    with Collection.open(stored, "w") as opened:
        opened["array"].write((slice(None), 2), [7, 7, 7, 7])
    with Collection.open(stored) as opened:
        assert (opened["array"].read()[:, 2] == 7).all()
        with pytest.raises(ModeError, match="mode 'r'"):
            opened["array"].write((0, 0), [[1]])
