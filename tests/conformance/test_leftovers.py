"""What others left behind: half levels are skipped, said so, and in nobody's way."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import tiledb

import napari_msimage
from napari_msimage import MultiscaleImage
from napari_msimage.errors import StoreWarning

from .cases import CASES_BY_NAME, random_pixels
from .damage import make_good, make_group
from .describe import image_facts
from .store_suite import tree_facts, write

CASE = CASES_BY_NAME["cyx"]


def entry_without_member(path):
    with tiledb.Group(str(path), "w") as group:
        group.meta["soma_level_half"] = "[3, 4, 5]"


def member_without_entry(path):
    with napari_msimage.DenseNDArray.create(
        str(path / "half"), type="uint8", shape=(3, 4, 5)
    ) as array:
        write(array, random_pixels((3, 4, 5), "uint8"))
    with tiledb.Group(str(path), "w") as group:
        group.add("half", name="half", relative=True)


def group_as_member(path):
    make_group(path / "half")
    with tiledb.Group(str(path), "w") as group:
        group.add("half", name="half", relative=True)
        group.meta["soma_level_half"] = "[3, 4, 5]"


def entry_deleted_by_upstream(path):
    """As upstream leaves it: member gone, metadata and folder there."""
    with tiledb.Group(str(path), "w") as group:
        group.meta["soma_level_half"] = json.dumps([3, 4, 5])
    napari_msimage.DenseNDArray.create(
        str(path / "half"), type="uint8", shape=(3, 4, 5)
    ).close()


LEFTOVERS = [
    entry_without_member,
    member_without_entry,
    group_as_member,
    entry_deleted_by_upstream,
]
each_leftover = pytest.mark.parametrize("leave", LEFTOVERS, ids=lambda f: f.__name__)


@pytest.fixture
def path(tmp_path, leave):
    path = tmp_path / "pyramid.soma"
    make_good(path)
    leave(path)
    return path


def open_quietly(path, mode="r"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        return MultiscaleImage.open(str(path), mode)


@each_leftover
def test_half_level_is_skipped_with_a_warning(path):
    with pytest.warns(StoreWarning, match="half") as caught:
        image = MultiscaleImage.open(str(path))
    assert [warning.filename for warning in caught] == [__file__]
    with image:
        assert "half" not in image
        assert sorted(image) == sorted(image.levels()) == list(CASE.levels)
        assert image.level_count == len(image) == 3
        with pytest.raises(KeyError, match="half"):
            image["half"]
        for key in CASE.levels:
            np.testing.assert_array_equal(image[key].read(), CASE.pixels(key))


@each_leftover
def test_reading_leaves_the_leftover_alone(path):
    before = tree_facts(str(path))
    open_quietly(path).close()
    open_quietly(path, "w").close()
    open_quietly(path, "d").close()
    assert tree_facts(str(path)) == before


@each_leftover
def test_name_of_a_leftover_can_be_used(path, oracle):
    pixels = random_pixels((3, 5, 6), "uint8")
    with open_quietly(path, "w") as image:
        write(image.add_new_level("half", shape=(3, 5, 6)), pixels)
        assert image.level_shape("half") == (3, 5, 6)
    facts = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", StoreWarning)
        for soma in (napari_msimage, oracle):
            with soma.MultiscaleImage.open(str(path)) as image:
                np.testing.assert_array_equal(np.asarray(image["half"].read()), pixels)
                facts.append(image_facts(image))
    assert facts[0] == facts[1]
    assert facts[0]["level_count"] == 4


@each_leftover
def test_array_can_be_set_under_the_name_of_a_leftover(path, tmp_path):
    uri = str(tmp_path / "array")
    pixels = random_pixels((3, 5, 6), "uint8")
    with napari_msimage.DenseNDArray.create(
        uri, type="uint8", shape=(3, 5, 6)
    ) as array:
        write(array, pixels)
    with (
        open_quietly(path, "w") as image,
        napari_msimage.DenseNDArray.open(uri) as array,
    ):
        image["half"] = array
    with MultiscaleImage.open(str(path)) as image:
        np.testing.assert_array_equal(image["half"].read(), pixels)


@each_leftover
def test_leftover_is_no_level_to_delete(path):
    with open_quietly(path, "d") as image, pytest.raises(KeyError, match="half"):
        del image["half"]


@each_leftover
@pytest.mark.parametrize("method", ["exists", "reopen"])
def test_warnings_point_at_the_caller(path, method):
    image = open_quietly(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if method == "exists":
            assert MultiscaleImage.exists(str(path))
        else:
            image.reopen("w")
    image.close()
    # asking whether it exists need not warn at all
    assert {warning.filename for warning in caught} <= {__file__}
    assert method == "exists" or [warning.category for warning in caught] == [
        StoreWarning
    ]
