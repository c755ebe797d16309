"""read_layers: real stores to layer tuples, good and bad; no window."""

from __future__ import annotations

import logging
import pickle
import shutil

import numpy as np
import pytest
import tiledb

from napari_msimage.errors import (
    FormatError,
    SOMAError,
    StoreWarning,
    UnsupportedError,
)
from napari_msimage.plugin import make_hints, read_hints, write_hints
from napari_msimage.plugin._open import OpenRequest, read_layers
from napari_msimage.plugin._reader import get_reader, read
from napari_msimage.storage import DenseNDArray, MultiscaleImage

RNG = np.random.default_rng(3)


@pytest.fixture
def image(tmp_uri):
    """Return an image of three levels and two channels."""
    with MultiscaleImage.create(
        tmp_uri, type="uint16", level_shape=(2, 97, 130)
    ) as new:
        write(new["level0"])
        for index, shape in enumerate([(2, 49, 65), (2, 13, 17)], start=1):
            with new.add_new_level(f"level{index}", shape=shape) as level:
                write(level)
    return tmp_uri


def write(array):
    cells = RNG.integers(1, 900, array.shape).astype(array.dtype)
    array.write((slice(None),) * cells.ndim, cells)


def set_metadata(uri, **entries):
    """Change a group's metadata behind our back; None removes."""
    with tiledb.Group(uri, "w") as group:
        for key, value in entries.items():
            if value is None:
                del group.meta[key]
            else:
                group.meta[key] = value


def test_levels_are_those_stored_and_read_lazily(image):
    layers = read(image)
    assert len(layers) == 2
    data, arguments, kind = layers[1]
    assert kind == "image"
    assert arguments["name"] == "tissue channel 1"
    with MultiscaleImage.open(image) as opened:
        for index, level in enumerate(data):
            expected = opened[f"level{index}"].read()[1]
            np.testing.assert_array_equal(np.asarray(level), expected)
            assert level.chunks is not None


def test_only_the_coarsest_level_is_read(image, monkeypatch):
    from napari_msimage.storage import LevelArray

    sizes = []
    reading = LevelArray.read

    def spy(self, **options):
        sizes.append(self.size)
        return reading(self, **options)

    monkeypatch.setattr(LevelArray, "read", spy)
    read(image)
    assert sizes == [13 * 17] * 2


def test_layers_outlive_the_image_and_remember_it(image):
    (_, arguments, _), *_ = read(image)
    entry = arguments["metadata"]["napari_msimage"]
    assert entry["uri"] == image
    assert entry["channel"] == 0
    assert entry["image_name"] == "tissue"


def test_the_past_can_be_shown(tmp_uri):
    with MultiscaleImage.create(
        tmp_uri, type="uint8", level_shape=(2, 9, 13), tiledb_timestamp=1000
    ) as new:
        write(new["level0"])
    with (
        MultiscaleImage.open(tmp_uri, "w", tiledb_timestamp=2000) as new,
        new.add_new_level("small", shape=(2, 4, 6)) as level,
    ):
        write(level)
    (now, _, _), *_ = read_layers(OpenRequest(tmp_uri))
    (then, _, _), *_ = read_layers(OpenRequest(tmp_uri, tiledb_timestamp=1500))
    assert (len(now), len(then)) == (2, 1)


def test_levels_can_be_pickled(image):
    (data, _, _), *_ = read(image)
    again = pickle.loads(pickle.dumps(data[1]))
    np.testing.assert_array_equal(np.asarray(again), np.asarray(data[1]))


def test_hints_are_written_and_removed(image):
    hints = make_hints([{"name": "DAPI"}])
    write_hints(image, hints)
    with MultiscaleImage.open(image) as opened:
        assert read_hints(opened.metadata) == hints
    assert read(image)[0][1]["name"] == "tissue DAPI"
    write_hints(image, None)
    with MultiscaleImage.open(image) as opened:
        assert read_hints(opened.metadata) is None


def test_timestamp_images_are_refused(tmp_uri):
    MultiscaleImage.create(
        tmp_uri, type="datetime64[ms]", level_shape=(1, 9, 13)
    ).close()
    with pytest.raises(UnsupportedError, match=r"datetime64\[ms\].*MultiscaleImage"):
        read(tmp_uri)


def test_four_channels_of_uint8_are_one_colour_layer(tmp_uri):
    with MultiscaleImage.create(tmp_uri, type="uint8", level_shape=(4, 9, 13)) as new:
        write(new["level0"])
    ((data, arguments, _),) = read(tmp_uri)
    assert arguments["rgb"] is True
    assert data[0].shape == (9, 13, 4)


def test_a_damaged_coarse_level_is_left_out_with_a_note(image, caplog):
    shutil.rmtree(f"{image}/level1")
    with caplog.at_level(logging.INFO):
        (data, _, _), *_ = read(image)
    assert [level.shape for level in data] == [(97, 130), (13, 17)]
    assert "Level 'level1' is left out" in caplog.text


def test_unreadable_pixels_of_the_coarsest_level_still_open(image, caplog):
    for fragment in (tmp for tmp in _fragments(image, "level2")):
        (fragment / "a0.tdb").write_bytes(b"")
    (data, arguments, _), *_ = read(image)
    assert arguments["contrast_limits"] == (0.0, 65535.0)
    with pytest.raises(SOMAError, match="level2"):
        np.asarray(data[2])


def _fragments(image, level):
    from pathlib import Path

    found = list(Path(image, level, "__fragments").iterdir())
    assert found
    return found


def test_a_missing_reference_level_is_an_error(image):
    shutil.rmtree(f"{image}/level0")
    with pytest.raises(SOMAError, match="level0"):
        read(image)


def test_an_array_smaller_than_the_metadata_says_is_an_error(image):
    set_metadata(image, soma_level_level0="[2, 197, 130]")
    with pytest.raises(FormatError, match=r"\(2, 97, 130\).*\(2, 197, 130\)"):
        read(image)


def test_an_array_made_larger_by_itself_is_an_error(image):
    with DenseNDArray.open(f"{image}/level0", "w") as array:
        array.resize((2, 120, 130))
    with (
        pytest.warns(StoreWarning, match="was resized"),
        pytest.raises(FormatError, match=r"\(2, 120, 130\).*\(2, 97, 130\)"),
    ):
        read(image)


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ({"soma_object_type": "SOMAExperiment"}, "SOMAExperiment"),
        ({"soma_object_type": None}, "soma_object_type"),
        ({"soma_encoding_version": "99"}, "99"),
        ({"soma_coordinate_space": "[{"}, "soma_coordinate_space"),
        ({"soma_multiscale_image_schema": None}, "soma_multiscale_image_schema"),
        ({"soma_level_level0": "[2, -97, 130]"}, "level0"),
        ({"soma_level_level0": f"[2, {2**60}, {2**60}]"}, "level0"),
    ],
    ids=["other SOMA", "bare group", "version", "JSON", "key", "negative", "huge"],
)
def test_bad_metadata_is_an_error_that_says_where(image, entries, problem):
    set_metadata(image, **entries)
    assert get_reader(image) is not None
    with pytest.raises(SOMAError, match=problem) as caught:
        read(image)
    assert "tissue.soma" in str(caught.value)


def test_a_level_array_is_an_error_that_says_so(image):
    with pytest.raises(SOMAError, match="array"):
        read(f"{image}/level0")


@pytest.mark.parametrize("what", ["missing", "file", "folder"])
def test_what_is_no_store_is_an_error_that_says_so(tmp_path, what):
    path = tmp_path / "thing.soma"
    if what == "file":
        path.write_text("x")
    elif what == "folder":
        path.mkdir()
    words = {"missing": "Nothing is stored", "file": "a file", "folder": "not a TileDB"}
    with pytest.raises(SOMAError, match=words[what]):
        read_layers(OpenRequest(str(path)))
