"""Writing: later writes win, what does not fit is refused, nothing breaks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import tiledb

import napari_msimage
from napari_msimage import DenseNDArray

from .describe import space_facts
from .store_suite import StoreSuite, full, write

PIXELS = np.arange(200, dtype=np.uint8).reshape(10, 20)
T0 = 1_700_000_000_000


class ImprovedWritesSuite(StoreSuite):
    def create_array(self, kind="uint8", shape=(10, 20), **options):
        return self.keep(
            DenseNDArray.create(self.uri, type=kind, shape=shape, **options)
        )

    def open_array(self, mode="r", **options):
        return self.keep(DenseNDArray.open(self.uri, mode, **options))

    # Later writes win

    @pytest.mark.parametrize("stamp", [None, T0], ids=["now", "explicit"])
    def test_each_write_of_a_session_wins_over_the_earlier_ones(self, stamp):
        for trial in range(5):
            uri = self.sibling(f"image{trial}")
            with self.create(uri, tiledb_timestamp=stamp) as image:
                for value in (1, 2, 3):
                    write(image["level0"], np.full((10, 20), value, np.uint8))
                image["level0"].write((slice(2, 3),), PIXELS[2:4])
            expected = np.full((10, 20), 3, np.uint8)
            expected[2:4] = PIXELS[2:4]
            np.testing.assert_array_equal(self.open(uri=uri)["level0"].read(), expected)

    def test_each_write_wins_on_an_array_by_itself(self):
        for trial in range(5):
            uri = self.sibling(f"array{trial}")
            with DenseNDArray.create(uri, type="uint8", shape=(4, 5)) as array:
                for value in (1, 2, 3):
                    write(array, np.full((4, 5), value, np.uint8))
            with DenseNDArray.open(uri) as array:
                assert (array.read() == 3).all()

    def test_next_session_wins_over_the_one_before(self):
        self.create().close()
        for value in range(5):
            with self.open("w") as image:
                for step in (100, value):
                    write(image["level0"], np.full((10, 20), step, np.uint8))
                image.metadata["value"] = 100
                image.metadata["value"] = value
            image = self.open()
            assert (image["level0"].read() == value).all()
            assert image.metadata["value"] == value

    def test_last_coordinate_space_of_the_creating_session_wins(self):
        for trial in range(5):
            uri = self.sibling(f"image{trial}")
            with self.create(uri) as image:
                for unit in ("mm", "km", "µm"):
                    image.coordinate_space = self.space(("x", unit), ("y", None))
            space = self.open(uri=uri).coordinate_space
            assert space_facts(space) == [("x", "µm"), ("y", None)]

    def test_writes_are_visible_in_order_within_one_handle(self):
        with self.create() as image:
            array = image["level0"]
            array.write((slice(0, 4),), np.full((5, 20), 1, np.uint8))
            array.write((slice(5, 9),), np.full((5, 20), 2, np.uint8))
            array.write((slice(4, 5),), np.full((2, 20), 3, np.uint8))
        rows = self.open()["level0"].read()[:, 0].tolist()
        assert rows == [1, 1, 1, 1, 3, 3, 2, 2, 2, 2]

    def test_future_timestamps_work(self):
        future = 4_000_000_000_000
        with self.create(tiledb_timestamp=future) as image:
            write(image["level0"], PIXELS)
            image.add_new_level("level1", shape=(5, 10))
        with self.open("w", tiledb_timestamp=future + 5) as image:
            assert list(image) == ["level0", "level1"]
            image.metadata["note"] = "later"
        image = self.open(tiledb_timestamp=future + 5)
        np.testing.assert_array_equal(image["level0"].read(), PIXELS)
        assert image.metadata["note"] == "later"
        assert not napari_msimage.MultiscaleImage.exists(self.uri)

    # What does not fit

    def test_values_of_another_shape_are_refused(self):
        array = self.create_array()
        for shape in ((20, 10), (200,), (10, 19), (1, 10, 20)):
            with self.unchanged(), self.raises(ValueError, match="shape"):
                array.write(full(2), np.zeros(shape, np.uint8))

    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            ("uint8", 300),
            ("uint8", -1),
            ("uint8", 1.5),
            ("uint8", float("nan")),
            ("int16", 2**15),
            ("float32", 1e300),
            ("uint64", -1),
            ("int64", 2.0**63),
        ],
        ids=str,
    )
    def test_values_that_the_type_cannot_hold_are_refused(self, kind, value):
        array = self.create_array(kind, (2, 2))
        with self.unchanged(), self.raises(ValueError, match=kind):
            array.write(full(2), np.full((2, 2), value))

    @pytest.mark.parametrize("given", ["int64", "float64", "bool", ">i4"])
    def test_values_that_fit_are_converted(self, given):
        with self.create_array("uint8", (2, 2)) as array:
            array.write(full(2), np.array([[0, 1], [1, 1]], given))
        assert self.open_array().read().tolist() == [[0, 1], [1, 1]]

    @pytest.mark.parametrize("kind", ["<U3", "datetime64[s]", "complex64", "object"])
    def test_values_that_are_no_numbers_are_refused(self, kind):
        array = self.create_array("uint8", (2, 2))
        with self.unchanged(), self.raises(TypeError, match="values"):
            array.write(full(2), np.zeros((2, 2), kind))

    @pytest.mark.parametrize(
        "coords",
        [(slice(10, 12),), (slice(3, 2),), (0, 0, 0), ("a",), (slice(0, 4, 2),), (-1,)],
        ids=str,
    )
    def test_writing_outside_the_array_changes_nothing(self, coords):
        array = self.create_array()
        with (
            self.unchanged(),
            self.raises("SOMAError", match=r"coord|dimension|[Ss]lice"),
        ):
            array.write(coords, PIXELS)

    def test_anything_with_to_numpy_is_written(self):
        with self.create_array() as array:
            array.write(full(2), pa.Tensor.from_numpy(PIXELS))
        np.testing.assert_array_equal(self.open_array().read(), PIXELS)

    def test_numpy_integers_are_coordinates(self):
        one, three = np.int64(1), np.uint8(3)
        with self.create_array() as array:
            write(array, PIXELS)
        array = self.open_array()
        np.testing.assert_array_equal(
            array.read((slice(one, three), three)), PIXELS[1:4, 3:4]
        )

    @pytest.mark.parametrize("method", ["read", "write"])
    def test_timestamp_pixels_are_refused(self, method):
        with self.create_array("datetime64[ms]", (2, 2)) as array:
            if method == "write":
                with self.raises(NotImplementedError, match="timestamp"):
                    array.write(full(2), np.zeros((2, 2), "datetime64[ms]"))
        if method == "read":
            with self.raises(NotImplementedError, match="timestamp"):
                self.open_array().read()

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"shape": (2, 0)}, "shape"),
            ({"shape": ()}, "shape"),
            ({"shape": (1,) * 6}, "shape"),
            ({"shape": (2**60, 2)}, "shape"),
            ({"shape": "ab"}, "shape"),
            ({"kind": pa.bool_()}, "type"),
            ({"kind": pa.string()}, "type"),
            ({"tiledb_timestamp": -1}, "timestamp"),
        ],
        ids=str,
    )
    def test_arrays_that_cannot_be_are_not_made(self, options, match):
        with self.unchanged(), self.raises("SOMAError", match=match):
            self.create_array(**options)
        assert not DenseNDArray.exists(self.uri)

    def test_resize_beyond_reason_changes_nothing(self):
        array = self.create_array()
        for shape in ((5, 20), (10,), (10, 2**62)):
            with self.unchanged(), self.raises(ValueError, match="resize|newshape"):
                array.resize(shape)
        assert array.shape == (10, 20)

    def test_resize_wants_write_mode(self):
        self.create_array().close()
        with self.unchanged(), self.raises("SOMAError", match="mode"):
            self.open_array().resize((11, 20))

    # Plain values

    def test_schema_is_a_plain_value(self):
        one, two = self.create_array().schema, self.open_array().schema
        assert one == two
        assert dataclasses.is_dataclass(one)
        assert one.shape == (10, 20)
        assert one.dtype == np.dtype("uint8")
        with pytest.raises(AttributeError, match="shape"):
            one.shape = (1, 2)

    def test_types_are_numpy_types(self):
        array = self.create_array("int16")
        assert array.dtype == array.type == np.dtype("int16")
        assert isinstance(array.dtype, np.dtype)

    def test_direct_construction_is_refused(self):
        with pytest.raises(TypeError, match=r"open|create"):
            DenseNDArray(self.uri)

    def test_read_gives_memory_of_its_own(self):
        with self.create_array() as array:
            write(array, PIXELS)
        array = self.open_array()
        first = array.read()
        first[...] = 0
        np.testing.assert_array_equal(array.read(), PIXELS)

    # Metadata

    def test_bytes_are_stored_and_read(self):
        with self.create() as image:
            image.metadata["bytes"] = b"\x00\xff"
        assert self.open().metadata["bytes"] == b"\x00\xff"

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("nul", "a\0b"),
            ("surrogate", "\ud800"),
            ("too_big", 2**63),
            ("soma_object_type", "SOMAScene"),
            ("soma_encoding_version", "2"),
            ("", 1),
            ("a\0b", 1),
        ],
    )
    def test_what_cannot_be_stored_is_refused_at_once(self, key, value):
        image = self.create()
        with self.unchanged(image), self.raises(ValueError, match="metadata"):
            image.metadata[key] = value
        image.metadata["fine"] = 1
        image.close()
        assert self.open().metadata["fine"] == 1

    @pytest.mark.parametrize("key", ["soma_object_type", "soma_encoding_version"])
    def test_what_makes_an_image_cannot_be_deleted(self, key):
        image = self.create()
        with self.unchanged(image), self.raises(ValueError, match="metadata"):
            del image.metadata[key]

    @pytest.mark.parametrize("value", [None, "xy", [("x", None)], 3], ids=repr)
    def test_coordinate_space_must_be_one(self, value):
        image = self.create()
        with (
            self.unchanged(image),
            self.raises((TypeError, ValueError), match="[Ss]pace"),
        ):
            image.coordinate_space = value


class ImprovedFragmentsSuite(StoreSuite):
    """Timestamps on disk, seen with plain TileDB."""

    def fragment_stamps(self, key="level0"):
        fragments = tiledb.array_fragments(f"{self.uri}/{key}")
        assert all(first == last for first, last in fragments.timestamp_range)
        return sorted(first for first, _ in fragments.timestamp_range)

    def test_overlapping_writes_count_up_from_an_explicit_timestamp(self):
        with self.create(tiledb_timestamp=T0) as image:
            array = image["level0"]
            for _ in range(3):
                write(array, PIXELS)
            array.write((slice(0, 0),), PIXELS[:1])
        assert self.fragment_stamps() == [T0, T0 + 1, T0 + 2, T0 + 3]

    def test_writes_beside_each_other_share_the_timestamp(self):
        with self.create(tiledb_timestamp=T0) as image:
            array = image["level0"]
            for row in range(0, 10, 2):
                array.write((slice(row, row + 1),), PIXELS[row : row + 2])
        assert self.fragment_stamps() == [T0] * 5

    def test_only_the_overlapping_write_moves_on(self):
        with self.create(tiledb_timestamp=T0) as image:
            array = image["level0"]
            array.write((slice(0, 3),), PIXELS[:4])
            array.write((slice(6, 9),), PIXELS[6:])
            array.write((slice(3, 4),), PIXELS[3:5])
            array.write((slice(5, 5),), PIXELS[5:6])
        assert self.fragment_stamps() == [T0, T0, T0, T0 + 1]

    def test_levels_do_not_push_each_other(self):
        with self.create(tiledb_timestamp=T0) as image:
            write(image["level0"], PIXELS)
            write(image.add_new_level("level1", shape=(10, 20)), PIXELS)
        assert self.fragment_stamps() == self.fragment_stamps("level1") == [T0]

    def test_explicit_timestamp_is_on_every_file_but_the_schema(self):
        with self.create(tiledb_timestamp=T0) as image:
            write(image["level0"], PIXELS)
            image.metadata["note"] = "a"
            image["level0"].metadata["note"] = "b"
        image = napari_msimage.MultiscaleImage.open(self.uri, tiledb_timestamp=T0)
        with image:
            np.testing.assert_array_equal(image["level0"].read(), PIXELS)
            assert "soma_level_level0" in image.metadata
