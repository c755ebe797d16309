"""Pixel types in all their spellings."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from napari_msimage.errors import ArgumentTypeError
from napari_msimage.storage import _datatypes as datatypes

NAMES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
NAMES += ["float32", "float64"]
UNITS = ["s", "ms", "us", "ns"]


@pytest.mark.parametrize("name", NAMES)
def test_numpy_arrow_and_format_string_mean_the_same(name):
    dtype = np.dtype(name)
    spellings = [name, dtype, dtype.type, dtype.newbyteorder(), dtype.str]
    spellings += [pa.from_numpy_dtype(dtype), datatypes.to_format(dtype)]
    assert {datatypes.to_dtype(spelling) for spelling in spellings} == {dtype}
    assert all(datatypes.to_dtype(spelling).isnative for spelling in spellings)
    assert not datatypes.is_timestamp(dtype)


@pytest.mark.parametrize("unit", UNITS)
def test_timestamps_are_known_as_such(unit):
    dtype = np.dtype(f"datetime64[{unit}]")
    for spelling in (dtype, pa.timestamp(unit), datatypes.to_format(dtype)):
        assert datatypes.to_dtype(spelling) == dtype
    assert datatypes.is_timestamp(dtype)


def test_python_numbers_are_types():
    assert datatypes.to_dtype(int) == np.int64
    assert datatypes.to_dtype(float) == np.float64


REFUSED = [
    *(None, 5, 1.5, "", ",", "(", "i4,i4", "3u1", "(2,)u1", "M8", "M8[D]", "b", "e"),
    *("?", "U", "uint9", "tss:UTC", b"C", {}, {"names": ["a"]}, [("a", "u1")]),
    *(bool, str, object, complex, type, np.uint8(3), np.array(3), np.float16),
    *(pa.bool_(), pa.string(), pa.float16(), pa.date32(), pa.null()),
    *(pa.timestamp("s", tz="UTC"), pa.dictionary(pa.int8(), pa.string())),
    *(pa.list_(pa.uint8()), pa.decimal128(5)),
]


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: f"{value!r:.30}")
def test_everything_else_is_refused_with_the_list(value):
    with pytest.raises(ArgumentTypeError, match=r"Unsupported pixel type .* uint8"):
        datatypes.to_dtype(value)
