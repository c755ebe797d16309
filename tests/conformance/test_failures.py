"""Writing that fails half-way: the error is ours, the store is as it was before.

The limit on the size of files stands for a full disk: TileDB's own writes fail, at
another file for every limit.
"""

from __future__ import annotations

import contextlib
import os
import resource

import numpy as np
import pytest

from napari_msimage import MultiscaleImage, SOMAError

from .cases import random_pixels
from .store_suite import full, memory_facts, tree_facts, write

LIMITS = [0, 30, 60, 100, 150, 200, 250, 300, 400, 600, 1000]
PIXELS = random_pixels((3, 40, 50), "uint8")


@contextlib.contextmanager
def full_disk(n_bytes: int):
    """No file can grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def uri(tmp_path):
    uri = str(tmp_path / "pyramid.soma")
    with MultiscaleImage.create(uri, type="uint8", level_shape=(3, 40, 50)) as image:
        write(image["level0"], PIXELS)
        image.metadata["note"] = "before"
    return uri


@pytest.mark.parametrize("limit", LIMITS)
def test_failed_create_leaves_nothing(tmp_path, limit):
    uri, folder = str(tmp_path / "new.soma"), str(tmp_path)
    try:
        with full_disk(limit):
            MultiscaleImage.create(uri, type="uint8", level_shape=(3, 40, 50)).close()
    except SOMAError as error:
        assert uri in str(error)  # noqa: PT017 - large limits succeed
        assert tree_facts(folder) == {}
        MultiscaleImage.create(uri, type="uint8", level_shape=(3, 40, 50)).close()
    assert MultiscaleImage.open(uri).level_count == 1


@pytest.mark.parametrize("limit", LIMITS)
def test_failed_new_level_leaves_nothing(uri, limit):
    image = MultiscaleImage.open(uri, "w")
    before = memory_facts(image), tree_facts(os.path.dirname(uri))
    try:
        with full_disk(limit):
            image.add_new_level("level1", shape=(3, 20, 25))
    except SOMAError as error:
        assert "level1" in str(error)  # noqa: PT017 - large limits succeed
        assert (memory_facts(image), tree_facts(os.path.dirname(uri))) == before
        image.add_new_level("level1", shape=(3, 20, 25))
    image.close()
    with MultiscaleImage.open(uri) as image:
        assert list(image.levels()) == ["level0", "level1"]
        assert image["level1"].shape == (3, 20, 25)


@pytest.mark.parametrize("limit", LIMITS)
def test_failed_close_can_be_tried_again(uri, limit):
    image = MultiscaleImage.open(uri, "w")
    write(image.add_new_level("level1", shape=(3, 20, 25)), PIXELS[:, ::2, ::2])
    image.metadata["note"] = "after" * 30
    try:
        with full_disk(limit):
            image.close()
    except SOMAError as error:
        assert uri in str(error)  # noqa: PT017 - large limits succeed
        with MultiscaleImage.open(uri) as reader:
            assert list(reader.levels()) == ["level0"]
            assert reader.metadata["note"] == "before"
        image.close()
    with MultiscaleImage.open(uri) as image:
        assert list(image.levels()) == ["level0", "level1"]
        assert image.metadata["note"] == "after" * 30
        np.testing.assert_array_equal(image["level1"].read(), PIXELS[:, ::2, ::2])


@pytest.mark.parametrize("limit", LIMITS)
def test_failed_write_keeps_the_pixels(uri, limit):
    image = MultiscaleImage.open(uri, "w")
    array = image["level0"]
    failed = False
    with full_disk(limit):
        try:
            array.write(full(3), PIXELS[:, ::-1])
        except SOMAError as error:
            failed = True
            assert "level0" in str(error)  # noqa: PT017 - large limits succeed
    expected = PIXELS if failed else PIXELS[:, ::-1]
    with MultiscaleImage.open(uri) as reader:
        np.testing.assert_array_equal(reader["level0"].read(), expected)
    array.write(full(3), PIXELS[:, :, ::-1])
    image.close()
    with MultiscaleImage.open(uri) as reader:
        np.testing.assert_array_equal(reader["level0"].read(), PIXELS[:, :, ::-1])


@pytest.mark.parametrize("limit", LIMITS)
def test_failed_deletion_keeps_the_level(uri, limit):
    with MultiscaleImage.open(uri, "w") as image:
        write(image.add_new_level("level1", shape=(3, 20, 25)), PIXELS[:, ::2, ::2])
    image = MultiscaleImage.open(uri, "d")
    del image["level1"]
    try:
        with full_disk(limit):
            image.close()
    except SOMAError as error:
        assert uri in str(error)  # noqa: PT017 - large limits succeed
        with MultiscaleImage.open(uri) as reader:
            np.testing.assert_array_equal(reader["level1"].read(), PIXELS[:, ::2, ::2])
        image.close()
    with MultiscaleImage.open(uri) as image:
        assert list(image) == list(image.levels()) == ["level0"]


def test_image_removed_while_open_ends_in_an_error(uri, tmp_path):
    image = MultiscaleImage.open(uri)
    os.rename(uri, tmp_path / "elsewhere")
    with pytest.raises(SOMAError, match="level0"):
        image["level0"].read()
    assert image.level_shape(0) == (3, 40, 50)
    image.close()


def test_image_removed_while_open_for_writing_ends_in_an_error(uri, tmp_path):
    image = MultiscaleImage.open(uri, "w")
    image.metadata["note"] = "after"
    os.rename(uri, tmp_path / "elsewhere")
    with pytest.raises(SOMAError, match=r"pyramid\.soma"):
        image.close()
    os.rename(tmp_path / "elsewhere", uri)
    image.close()
    assert MultiscaleImage.open(uri).metadata["note"] == "after"
