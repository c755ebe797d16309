"""Pixel types: numpy dtype, Arrow type and Arrow format string."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..errors import ArgumentTypeError

#: Arrow C-data-interface format string by numpy dtype name (Arrow columnar format
#: specification, "Data type description - format strings").
_FORMATS: Final[dict[str, str]] = {
    "int8": "c",
    "uint8": "C",
    "int16": "s",
    "uint16": "S",
    "int32": "i",
    "uint32": "I",
    "int64": "l",
    "uint64": "L",
    "float32": "f",
    "float64": "g",
    "datetime64[s]": "tss:",
    "datetime64[ms]": "tsm:",
    "datetime64[us]": "tsu:",
    "datetime64[ns]": "tsn:",
}
_DTYPES: Final = {text: np.dtype(name) for name, text in _FORMATS.items()}
#: Spelling of the types by pyarrow's ``str``, where it is not numpy's.
_ARROW_NAMES: Final = {
    "float": "float32",
    "double": "float64",
    **{f"timestamp[{unit}]": f"datetime64[{unit}]" for unit in ("s", "ms", "us", "ns")},
}


def to_dtype(value: Any) -> np.dtype[Any]:
    """Return the numpy dtype of a pixel type.

    Parameters
    ----------
    value : numpy dtype or scalar class, pyarrow.DataType, or str
        A str is an Arrow format string (``"C"``) first, else a dtype name
        (``"uint8"``).

    Raises
    ------
    ArgumentTypeError
        If it is not one of the types that a SOMA image can hold.
    """
    if isinstance(value, str) and value in _DTYPES:
        return _DTYPES[value]
    # "b" is numpy's int8, but Arrow's bool
    name: Any = None if isinstance(value, str) and value == "b" else value
    if type(value).__module__.partition(".")[0] == "pyarrow":
        name = _ARROW_NAMES.get(str(value), str(value))
    try:
        dtype = None if name is None else np.dtype(name)
    except (TypeError, ValueError, SyntaxError):  # numpy parses text as Python
        dtype = None
    if dtype is None or dtype.name not in _FORMATS or isinstance(value, np.generic):
        msg = (
            f"Unsupported pixel type {value!r}. A SOMA image holds one of: "
            f"{', '.join(_FORMATS)}."
        )
        raise ArgumentTypeError(msg)
    native: np.dtype[Any] = np.dtype(dtype.name)
    return native


def to_format(dtype: np.dtype[Any]) -> str:
    """Return the Arrow format string of a supported dtype."""
    return _FORMATS[dtype.name]


def is_timestamp(dtype: np.dtype[Any]) -> bool:
    """Tell whether the pixels are timestamps, which cannot be read or written."""
    return dtype.kind == "M"
