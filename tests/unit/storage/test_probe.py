"""What is at an address."""

from __future__ import annotations

import os
import shutil
import warnings

import numpy as np
import pytest
import tiledb

from napari_msimage import DenseNDArray, MultiscaleImage
from napari_msimage.errors import DoesNotExistError, StorageError
from napari_msimage.storage import SOMATileDBContext, probe
from napari_msimage.storage._probe import kind_of, require_group


@pytest.fixture
def image(tmp_uri):
    MultiscaleImage.create(tmp_uri, type="uint8", level_shape=(3, 9, 11)).close()
    return tmp_uri


def kind(path):
    return kind_of(str(path), SOMATileDBContext().tiledb_ctx(str(path)))


def test_kinds_of_local_places(image, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(image)
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    expected = {
        image: "group",
        f"{image}/level0": "array",
        tmp_path / "link": "group",
        tmp_path / "file": "file",
        tmp_path / "file" / "below": "missing",
        tmp_path / "folder": "folder",
        tmp_path / "broken": "file",
        tmp_path / "nowhere": "missing",
    }
    assert {place: kind(place) for place in expected} == expected


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("nowhere", "Nothing is stored"),
        ("file", "is a file"),
        ("folder", "not a TileDB store"),
        ("tissue.soma/level0", "array, not an image"),
    ],
)
def test_what_is_no_group_is_said_in_words(image, tmp_path, name, match):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    path = str(tmp_path / name)
    with pytest.raises(DoesNotExistError, match=match):
        require_group(path, SOMATileDBContext().tiledb_ctx(path))


def test_circle_of_links_is_an_error_of_its_own(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(StorageError, match="symbolic links"):
        MultiscaleImage.open(str(tmp_path / "a"))
    assert probe(str(tmp_path / "a")) is None


def test_probe_names_the_soma_type(image):
    assert probe(image) == probe(image + "/") == "SOMAMultiscaleImage"
    assert probe(f"file://{image}") == "SOMAMultiscaleImage"
    assert probe(f"{image}/level0") == "SOMADenseNDArray"


def test_probe_reads_old_bytes(image):
    with tiledb.Group(image, "w") as group:
        group.meta["soma_object_type"] = b"SOMAScene"
    assert probe(image) == "SOMAScene"


def test_probe_says_group_or_array_for_the_rest(tmp_path):
    tiledb.Group.create(str(tmp_path / "group"))
    assert probe(str(tmp_path / "group")) == "group"
    with tiledb.Group(str(tmp_path / "group"), "w") as group:
        group.meta["soma_object_type"] = 5
    assert probe(str(tmp_path / "group")) == "group"
    tiledb.from_numpy(str(tmp_path / "array"), np.zeros(3)).close()
    assert probe(str(tmp_path / "array")) == "array"


def test_probe_of_a_damaged_store_does_not_raise(image):
    shutil.rmtree(f"{image}/level0/__schema")
    os.mkdir(f"{image}/level0/__schema")
    assert probe(f"{image}/level0") == "array"
    for name in os.listdir(f"{image}/__meta"):
        with open(f"{image}/__meta/{name}", "wb"):
            pass
    assert probe(image) == "group"


@pytest.mark.parametrize("context", [5, "text", {"a": 1}], ids=str)
def test_probe_with_a_wrong_context_does_not_raise(image, context):
    assert probe(image, context) is None


def test_probe_opens_no_level_and_warns_of_nothing(image, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a level was opened")

    shutil.rmtree(f"{image}/level0")
    monkeypatch.setattr(tiledb, "open", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert probe(image) == "SOMAMultiscaleImage"


def test_memory_stores_are_found():
    uri = "mem://probe/image"
    assert probe(uri) is None
    MultiscaleImage.create(uri, type="uint8", level_shape=(3, 9, 11)).close()
    assert probe(uri) == "SOMAMultiscaleImage"
    assert DenseNDArray.exists(f"{uri}/level0")
