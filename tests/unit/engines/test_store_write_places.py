"""Where images and scenes may be written, and where not."""

from __future__ import annotations

import os

import numpy as np
import pytest

from napari_msimage.coordinates import CoordinateSpace
from napari_msimage.engines import ImageToWrite, run, write_store
from napari_msimage.engines._pixel_source_folder import zarr_folders
from napari_msimage.errors import ArgumentError
from napari_msimage.storage import LevelArray, MultiscaleImage


def image(pixels):
    space = CoordinateSpace.from_axis_names(("x", "y"))
    return ImageToWrite((pixels,), space, ("y", "x"))


def noise(shape):
    return np.random.default_rng(0).integers(0, 255, shape, "u1")


def read_levels(uri):
    with MultiscaleImage.open(str(uri)) as stored:
        return [stored[key].read() for key in stored.levels()]


def listing(folder):
    return sorted(entry.name for entry in os.scandir(folder))


def test_nothing_is_written_into_tiledb_objects(tmp_path):
    outer = str(tmp_path / "image.soma")
    run(write_store(outer, image(noise((9, 8)))))
    before = listing(outer)
    for inner in ("b.soma", "level0/b.soma"):
        with pytest.raises(ArgumentError, match="inside of the TileDB object"):
            run(write_store(f"{outer}/{inner}", image(noise((9, 8)))))
    assert listing(outer) == before


def test_an_image_is_not_replaced_by_its_own_pixels(tmp_path):
    uri = str(tmp_path / "image.soma")
    pixels = noise((40, 30))
    run(write_store(uri, image(pixels)))
    with (
        LevelArray(f"{uri}/level0") as level,
        pytest.raises(ArgumentError, match="come from there"),
    ):
        run(write_store(uri, image(level), replace=True))
    np.testing.assert_array_equal(read_levels(uri)[0], pixels)
    assert listing(tmp_path) == ["image.soma"]


def zarr_array(folder, path=None):
    zarr = pytest.importorskip("zarr")
    if path is None:
        return zarr.create_array(folder, shape=(40, 30), chunks=(20, 20), dtype="u1")
    group = zarr.open_group(folder, mode="w")
    return group.create_array(path, shape=(40, 30), chunks=(20, 20), dtype="u1")


@pytest.mark.parametrize("path", [None, "0", "scale/0"])
@pytest.mark.parametrize("source", ["zarr", "dask", "inline", "computed", "reopened"])
def test_nothing_is_written_into_the_zarr_folder_of_the_pixels(tmp_path, path, source):
    import dask.array as da

    folder = tmp_path / "a.zarr"
    array = zarr_array(folder, path)
    if source == "reopened":
        import zarr

        array = zarr.open_array(folder / (path or ""), mode="r")
    elif source != "zarr":
        array = da.from_zarr(array, inline_array=source == "inline")
        array = array + 1 if source == "computed" else array
    before = listing(folder)
    for inner in ("b.soma", "0/b.soma", "scale/b.soma"):
        with pytest.raises(ArgumentError, match=r"zarr folder .*a\.zarr'\. Choose"):
            run(write_store(str(folder / inner), image(array)))
    with pytest.raises(ArgumentError, match="zarr folder"):
        run(write_store(str(tmp_path), image(array)))
    assert listing(folder) == before
    run(write_store(str(tmp_path / "a.zarr.soma"), image(array)))


def test_links_lead_into_zarr_folders_too(tmp_path):
    array = zarr_array(tmp_path / "a.zarr")
    (tmp_path / "link").symlink_to(tmp_path / "a.zarr")
    with pytest.raises(ArgumentError, match="zarr folder"):
        run(write_store(str(tmp_path / "link" / "b.soma"), image(array)))


def test_large_graphs_are_not_unfolded_to_find_folders():
    import dask.array as da

    huge = da.zeros((10**7, 10**7), chunks=100, dtype="u1") + 1
    assert zarr_folders(huge) == set()
    assert zarr_folders(noise((4, 5))) == set()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a\0b.soma", "NUL"),
        ("x" * 251 + ".soma", "256 bytes"),
        ("ä" * 126 + ".soma", "257 bytes"),
        ("\udce4.soma", "characters"),
    ],
    ids=["nul", "long", "long-utf8", "no-utf8"],
)
def test_names_that_are_no_folder_names_are_refused(tmp_path, name, problem):
    with pytest.raises(ArgumentError, match=problem):
        run(write_store(f"{tmp_path}/{name}", image(noise((9, 8)))))
    assert listing(tmp_path) == []


def test_an_address_is_needed():
    with pytest.raises(ArgumentError, match="non-empty"):
        run(write_store("", image(noise((9, 8)))))


@pytest.mark.parametrize("letter", ["x", "ä"], ids=["ascii", "utf8"])
def test_the_longest_names_are_names(tmp_path, letter):
    uri = tmp_path / (letter * (250 // len(letter.encode())) + ".soma")
    engine = write_store(str(uri), image(noise((9, 8))))
    next(engine), next(engine)
    (begun,) = listing(tmp_path)
    engine.close()
    assert listing(tmp_path) == []
    # what a dead program has left is found again
    (tmp_path / begun.replace(f"_{os.getpid()}_", "_x_")).mkdir()
    os.utime(tmp_path / begun.replace(f"_{os.getpid()}_", "_x_"), (0, 0))
    run(write_store(str(uri), image(noise((9, 8)))))
    run(write_store(str(uri), image(noise((5, 5))), replace=True))
    assert listing(tmp_path) == [uri.name]
    assert read_levels(str(uri))[0].shape == (5, 5)
