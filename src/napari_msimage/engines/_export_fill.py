"""The value of pixels outside of an outline: one number that their type can hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError


def fill_number(value: Any) -> complex:
    """Return a fill value as one of Python's numbers.

    Raises
    ------
    ArgumentTypeError
        If it is no number.
    """
    if isinstance(value, np.generic | np.ndarray) and np.ndim(value) == 0:
        value = value.item()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float | complex):
        return value
    msg = f"fill_value must be a number, got {value!r}"
    raise ArgumentTypeError(msg)


def check_fill(value: complex, dtype: np.dtype[Any]) -> None:
    """Refuse a fill value that pixels cannot have.

    Raises
    ------
    ArgumentError
        If it does not fit.
    """
    if not _fits(value, dtype):
        msg = f"fill_value {value!r} does not fit into pixels of type {dtype}."
        raise ArgumentError(msg)


def _fits(value: complex, dtype: np.dtype[Any]) -> bool:
    if isinstance(value, complex):
        real, imaginary = value.real, value.imag
        return (
            dtype.kind == "c" and _is_below(real, dtype) and _is_below(imaginary, dtype)
        )
    if dtype.kind in "fc":
        return _is_below(value, dtype)
    if dtype.kind not in "biu" or value != value or math.isinf(value):
        return False
    low, high = (
        (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    )
    return low <= value <= high and value == int(value)


def _is_below(value: float, dtype: np.dtype[Any]) -> bool:
    """Tell whether a number is infinite on purpose only."""
    if not isinstance(value, int) and not math.isfinite(value):
        return True
    return abs(value) <= float(np.finfo(dtype).max)
