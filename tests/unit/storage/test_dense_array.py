"""Arrays on their own: schemas of others, sizes, metadata, pending writes."""

from __future__ import annotations

import numpy as np
import pytest
import tiledb

from napari_msimage import DenseNDArray, MultiscaleImage
from napari_msimage.errors import (
    AlreadyExistsError,
    ArgumentError,
    DoesNotExistError,
    FormatError,
    StorageError,
)
from napari_msimage.storage import LevelArray, SOMATileDBContext
from napari_msimage.storage import _array_state as array_state
from napari_msimage.storage._metadata import Unreadable

PIXELS = np.arange(200, dtype=np.uint16).reshape(10, 20)


@pytest.fixture
def uri(tmp_path):
    uri = str(tmp_path / "array")
    with DenseNDArray.create(uri, type="uint16", shape=(10, 20)) as array:
        array.write((), PIXELS)
    return uri


def label(uri):
    with tiledb.open(uri, "w") as array:
        array.meta["soma_object_type"] = "SOMADenseNDArray"
        array.meta["soma_encoding_version"] = "1.1.0"
    return uri


@pytest.mark.parametrize("cell_order", ["row-major", "col-major"])
@pytest.mark.parametrize("tile_order", ["row-major", "col-major"])
def test_other_cell_and_tile_orders_are_read_alike(tmp_path, cell_order, tile_order):
    uri = str(tmp_path / "a")
    dims = [
        tiledb.Dim(f"soma_dim_{i}", domain=(0, 2**40), tile=tile, dtype="int64")
        for i, tile in enumerate((4, 7))
    ]
    domain, ctx = tiledb.Domain(*dims), tiledb.default_ctx()
    schema = tiledb.ArraySchema(
        domain=domain,
        attrs=[tiledb.Attr("soma_data", dtype="uint16")],
        cell_order=cell_order,
        tile_order=tile_order,
    )
    rectangle = tiledb.NDRectangle(ctx, domain)
    rectangle.set_range(0, 0, 9)
    rectangle.set_range(1, 0, 19)
    current = tiledb.CurrentDomain(ctx)
    current.set_ndrectangle(rectangle)
    schema.set_current_domain(current)
    tiledb.Array.create(uri, schema)
    with DenseNDArray.open(label(uri), "w") as array:
        array.write((slice(0, 9), slice(0, 11)), PIXELS[:, :12])
        array.write((None, slice(12, 19)), np.asfortranarray(PIXELS[:, 12:]))
    with DenseNDArray.open(uri) as array:
        np.testing.assert_array_equal(array.read(), PIXELS)
        box = array.read((slice(2, 7), slice(3, 11)))
        np.testing.assert_array_equal(box, PIXELS[2:8, 3:12])
        assert box.flags.c_contiguous
    np.testing.assert_array_equal(LevelArray(uri)[2:8, 3:12], PIXELS[2:8, 3:12])


WRONG_SCHEMAS = {
    "sparse": ({"sparse": True}, "sparse"),
    "attribute": ({"attribute": "data"}, "attributes"),
    "unsigned_dims": ({"dim_dtype": "uint64"}, "dimension 0"),
    "complex": ({"dtype": "complex64"}, "complex64"),
}


@pytest.mark.parametrize("name", WRONG_SCHEMAS)
def test_schemas_that_are_not_somas_are_refused(make_level, name):
    options, match = WRONG_SCHEMAS[name]
    options = dict(options)
    uri = make_level((10, 20), options.pop("dtype", "uint16"), (5, 5), **options)
    for mode in "rw":
        with pytest.raises(FormatError, match=match):
            DenseNDArray.open(label(uri), mode)
    assert not DenseNDArray.exists(uri)


@pytest.mark.parametrize(
    ("shape", "tile"), [((10, 20), (2**40, 2**40)), ((2**20, 2**20), (2**16, 2**16))]
)
def test_tiles_count_as_far_as_the_level_uses_them(make_level, shape, tile):
    uri = label(make_level(shape, "uint16", tile))
    if shape == (10, 20):
        assert DenseNDArray.open(uri).schema.tile_extents == tile
    else:
        with pytest.raises(FormatError, match="more than 1 GiB"):
            DenseNDArray.open(uri)


def test_level_of_2_to_the_60_opens_and_reads_small_parts(make_level):
    uri = label(make_level((2**60, 3), "uint8", (16, 3)))
    with DenseNDArray.open(uri) as array:
        assert array.read((slice(2**59, 2**59 + 1),)).tolist() == [[255] * 3] * 2
        with pytest.raises(ArgumentError, match=r"would take \d+ GiB.*smaller part"):
            array.read()


def test_reads_are_limited_by_the_machines_memory(uri, monkeypatch):
    monkeypatch.setattr(array_state.os, "sysconf", lambda _name: 18)  # 324 bytes
    with DenseNDArray.open(uri) as array:
        assert array.read((slice(0, 7),)).shape == (8, 20)
        with pytest.raises(ArgumentError, match="Read a smaller part"):
            array.read((slice(0, 8),))


def test_boolean_metadata_of_others_does_no_harm(uri, monkeypatch):
    real = array_state.read_entries
    monkeypatch.setattr(
        array_state,
        "read_entries",
        lambda meta: {**real(meta), "flag": Unreadable()},
    )
    with DenseNDArray.open(uri, "w") as array:
        array.metadata["k"] = 1
        with pytest.raises(FormatError, match="stored as a boolean"):
            array.metadata["flag"]
    monkeypatch.undo()
    assert DenseNDArray.open(uri).metadata["k"] == 1


def test_metadata_comes_back_as_plain_python(uri):
    with DenseNDArray.open(uri, "w") as array:
        array.metadata.update({"i": 5, "f": 0.5, "s": "é", "b": b"\xff"})
    metadata = DenseNDArray.open(uri).metadata
    assert [type(metadata[key]) for key in "ifsb"] == [int, float, str, bytes]


@pytest.mark.parametrize("kind", ["file", "folder", "full folder", "array"])
def test_only_free_places_are_used(tmp_path, kind):
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("mine")
    elif kind == "array":
        DenseNDArray.create(str(place), type="uint8", shape=(3,)).close()
    else:
        place.mkdir()
    if kind == "full folder":
        (place / "notes").write_text("mine")
    if kind == "folder":
        DenseNDArray.create(str(place), type="uint8", shape=(3,)).close()
        assert DenseNDArray.exists(str(place))
        return
    with pytest.raises(AlreadyExistsError, match=r"something \((file|folder|array)\)"):
        DenseNDArray.create(str(place), type="uint8", shape=(3,))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["nowhere", ".", "image"])
def test_what_is_no_array_is_said(tmp_path, name):
    MultiscaleImage.create(
        str(tmp_path / "image"), type="uint8", level_shape=(3, 4, 5)
    ).close()
    with pytest.raises(DoesNotExistError, match="expected a SOMA dense array"):
        DenseNDArray.open(str(tmp_path / name))


def test_each_write_of_a_session_wins_over_the_earlier_ones(uri):
    with DenseNDArray.open(uri, "w", tiledb_timestamp=4_000_000_000_000) as array:
        for value in range(12):
            array.write((), np.full((10, 20), value, np.uint16))
        assert array.non_empty_domain() == ((0, 9), (0, 19))
    future = DenseNDArray.open(uri, tiledb_timestamp=4_000_000_000_100)
    assert (future.read() == 11).all()
    np.testing.assert_array_equal(DenseNDArray.open(uri).read(), PIXELS)


def test_failed_write_keeps_the_array_usable(uri, monkeypatch):
    array = DenseNDArray.open(uri, "w")

    class Broken:
        def __setitem__(self, *_):
            raise tiledb.TileDBError("No space left on device")

    monkeypatch.setattr(array._state, "_writer_at", lambda _stamp: Broken())
    with pytest.raises(StorageError, match="disk is full"):
        array.write((), PIXELS[::-1])
    monkeypatch.undo()
    array.write((), PIXELS[:, ::-1])
    array.close()
    np.testing.assert_array_equal(DenseNDArray.open(uri).read(), PIXELS[:, ::-1])


def test_reads_with_little_memory_end_in_an_error(uri):
    context = SOMATileDBContext({"sm.mem.total_budget": 100})
    with (
        DenseNDArray.open(uri, context=context) as array,
        pytest.raises(StorageError, match="Not enough memory"),
    ):
        array.read()
