"""DenseNDArray: the array of one level, also on its own."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from .cases import NUMERIC_DTYPES, TIMESTAMP_DTYPES, random_pixels
from .store_suite import StoreSuite, full, write

PIXELS = (np.arange(200) % 251).astype(np.uint8).reshape(10, 20)


class ArraysSuite(StoreSuite):
    def create_array(self, shape=(10, 20), kind="uint8", **options):
        array = self.soma.DenseNDArray.create(
            self.uri, type=pa.from_numpy_dtype(kind), shape=shape, **options
        )
        return self.keep(array)

    def open_array(self, mode="r", **options):
        return self.keep(self.soma.DenseNDArray.open(self.uri, mode, **options))

    @pytest.fixture
    def array(self, _store):
        with self.create_array() as array:
            write(array, PIXELS)
        return self.open_array()

    def test_getters(self, array):
        assert array.shape == (10, 20)
        assert array.ndim == 2
        assert not array.is_sparse
        assert array.soma_type == "SOMADenseNDArray"
        assert array.mode == "r"
        assert not array.closed
        assert array.uri == self.uri
        assert array.non_empty_domain() == ((0, 9), (0, 19))
        assert len(array.maxshape) == 2
        assert all(most >= 2**62 for most in array.maxshape)
        assert array.metadata["soma_object_type"] == "SOMADenseNDArray"

    def test_created_array_is_open_for_writing(self):
        array = self.create_array()
        assert array.mode == "w"
        assert array.shape == (10, 20)

    def test_exists_says_yes_for_an_array_only(self):
        exists = self.soma.DenseNDArray.exists
        assert not exists(self.uri)
        self.create().close()
        assert not exists(self.uri)
        assert exists(f"{self.uri}/level0")

    def test_existing_array_is_not_overwritten(self, array):
        with (
            self.unchanged(),
            self.raises(self.soma.AlreadyExistsError, match="already"),
        ):
            self.create_array()

    def test_missing_array_does_not_exist(self):
        with self.raises(self.soma.DoesNotExistError, match="array"):
            self.open_array()

    @pytest.mark.parametrize("kind", NUMERIC_DTYPES)
    def test_every_numeric_dtype_comes_back(self, kind):
        pixels = random_pixels((7, 9), kind)
        with self.create_array((7, 9), kind) as array:
            write(array, pixels)
        read = np.asarray(self.open_array().read())
        np.testing.assert_array_equal(read, pixels, strict=True)

    @pytest.mark.parametrize("kind", TIMESTAMP_DTYPES)
    def test_timestamp_arrays_open(self, kind):
        self.create_array((7, 9), kind).close()
        assert self.open_array().shape == (7, 9)

    @pytest.mark.parametrize("ndim", [1, 2, 3, 4, 5])
    def test_one_to_five_dimensions(self, ndim):
        shape = (5, 4, 3, 2, 6)[:ndim]
        pixels = random_pixels(shape, "uint16")
        with self.create_array(shape, "uint16") as array:
            write(array, pixels)
        np.testing.assert_array_equal(np.asarray(self.open_array().read()), pixels)

    @pytest.mark.parametrize(
        ("coords", "expected"),
        [
            ((), np.s_[:, :]),
            ((None, None), np.s_[:, :]),
            ((slice(2, 4),), np.s_[2:5, :]),
            ((slice(2, 4), slice(0, 0)), np.s_[2:5, 0:1]),
            ((3, 4), np.s_[3:4, 4:5]),
            ((None, 4), np.s_[:, 4:5]),
            ((slice(8, 50), None), np.s_[8:10, :]),
            ((slice(None, 3), slice(17, None)), np.s_[:4, 17:]),
            ((True, slice(None)), np.s_[1:2, :]),
            ([slice(2, 4), 5], np.s_[2:5, 5:6]),
        ],
        ids=str,
    )
    def test_coordinates_include_both_ends(self, array, coords, expected):
        np.testing.assert_array_equal(np.asarray(array.read(coords)), PIXELS[expected])

    @pytest.mark.parametrize(
        ("coords", "kind"),
        [
            ((slice(10, 12),), ValueError),
            ((slice(4, 2),), ValueError),
            ((slice(0, 8, 2),), ValueError),
            ((slice(-1, 3),), ValueError),
            ((0, 0, 0), ValueError),
            (("a",), TypeError),
            ((1.0,), TypeError),
            ((10, 0), "SOMAError"),
            ((-1, 0), "SOMAError"),
        ],
        ids=str,
    )
    def test_coordinates_that_make_no_sense_are_refused(self, array, coords, kind):
        with self.raises(kind, match="coord|slice|axis|dimension"):
            array.read(coords)

    def test_column_major_gives_the_transposed_block(self, array):
        read = np.asarray(array.read((slice(2, 4),), result_order="column-major"))
        np.testing.assert_array_equal(read, PIXELS[2:5].T)

    @pytest.mark.parametrize("order", ["auto", "diagonal"])
    def test_unknown_result_order_is_refused(self, array, order):
        with self.raises(ValueError, match="result_order"):
            array.read(result_order=order)

    def test_never_written_array_reads_as_the_fill_value(self):
        self.create_array((4, 5), "int16").close()
        read = np.asarray(self.open_array().read())
        np.testing.assert_array_equal(read, np.full((4, 5), -32768, np.int16))
        assert self.open_array().non_empty_domain() == ((0, 0), (0, 0))

    def test_part_of_the_cells_can_be_written(self):
        with self.create_array() as array:
            array.write((slice(2, 4), slice(5, 8)), np.full((3, 4), 7, np.uint8))
        expected = np.full((10, 20), 255, np.uint8)
        expected[2:5, 5:9] = 7
        np.testing.assert_array_equal(np.asarray(self.open_array().read()), expected)
        assert self.open_array().non_empty_domain() == ((2, 4), (5, 8))

    def test_slice_past_the_end_is_clipped_when_writing(self):
        with self.create_array() as array:
            array.write((slice(7, 50), slice(0, 19)), PIXELS[:3])
        np.testing.assert_array_equal(
            np.asarray(self.open_array().read((slice(7, 9),))), PIXELS[:3]
        )

    def test_integer_coordinates_write_one_row(self):
        with self.create_array() as array:
            array.write((3, slice(None)), np.arange(20, dtype=np.uint8)[None])
        read = np.asarray(self.open_array().read())
        np.testing.assert_array_equal(read[3], np.arange(20))
        assert (np.delete(read, 3, 0) == 255).all()

    @pytest.mark.parametrize("kind", ["strided", "fortran", "transposed"])
    def test_memory_layout_does_not_matter(self, kind):
        big = random_pixels((20, 40), "uint8")
        pixels = {
            "strided": big[::2, ::2],
            "fortran": np.asfortranarray(PIXELS),
            "transposed": random_pixels((20, 10), "uint8").T,
        }[kind]
        with self.create_array() as array:
            write(array, pixels)
        np.testing.assert_array_equal(np.asarray(self.open_array().read()), pixels)

    def test_write_returns_the_array_itself(self):
        with self.create_array() as array:
            result = array.write(full(2), PIXELS)
            assert result is array if self.is_ours else result.uri == array.uri

    def test_cell_count_must_fit(self):
        array = self.create_array()
        with self.raises("SOMAError", match="shape"):
            array.write(full(2), np.zeros((3, 3), np.uint8))

    @pytest.mark.parametrize("values", [None, "abc"], ids=repr)
    def test_values_must_be_an_array(self, values):
        array = self.create_array()
        with self.unchanged(), self.raises(TypeError, match="values"):
            array.write(full(2), values)

    def test_resize_grows_the_array(self):
        with self.create_array() as array:
            write(array, PIXELS)
        with self.open_array("w") as array:
            array.resize((12, 25))
        array = self.open_array()
        assert array.shape == (12, 25)
        expected = np.full((12, 25), 255, np.uint8)
        expected[:10, :20] = PIXELS
        np.testing.assert_array_equal(np.asarray(array.read()), expected)

    def test_resize_can_be_tried_first(self):
        array = self.create_array()
        assert tuple(array.resize((12, 25), check_only=True)) == (True, "")
        possible, reason = array.resize((5, 25), check_only=True)
        assert not possible
        assert reason
        assert array.shape == (10, 20)

    @pytest.mark.parametrize("shape", [(5, 25), (12,), (12, 25, 3)], ids=str)
    def test_resize_never_shrinks(self, shape):
        array = self.create_array()
        with self.raises("SOMAError", match="resize"):
            array.resize(shape)

    def test_closed_array_refuses_reads(self, array):
        array.close()
        assert array.closed
        with self.raises("SOMAError", match="closed"):
            array.read()

    def test_array_is_a_context_manager(self):
        with self.create_array() as array:
            pass
        assert array.closed
