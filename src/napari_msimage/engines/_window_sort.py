"""Sorts the pixels of many windows at once, each together with its weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from ._axis_ratio import Integers


def sort_planes(planes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sort along the first axis, by exchanges of whole planes.

    Much faster than a sort per window while there are few planes.

    Notes
    -----
    Batcher's merge exchange: Knuth, TAOCP 3, section 5.2.2, algorithm M.
    """
    rows = list(planes)
    spare = np.empty_like(rows[0])
    for i, k in _exchanges(len(rows)):
        np.minimum(rows[i], rows[k], out=spare)
        np.maximum(rows[i], rows[k], out=rows[k])
        rows[i], spare = spare, rows[i]
    return np.stack(rows)


def _exchanges(n: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs of positions to compare, and exchange if in the wrong order."""
    top = 1 << max(0, (n - 1).bit_length() - 1)
    p = top
    while n > 1 and p:
        q, r, d = top, 0, p
        while True:
            yield from ((i, i + d) for i in range(n - d) if i & p == r)
            if q == p:
                break
            q, r, d = q >> 1, p, q - p
        p >>= 1


def pack(
    values: npt.NDArray[Any], weights: Integers, weight_bits: int
) -> npt.NDArray[Any]:
    """Join values and weights in integers that sort as the values.

    Parameters
    ----------
    values : ndarray
        Of 8 to 32 bits; see `is_packable`.
    weights : ndarray of int64
        From 0 to below ``2**weight_bits``. Where 0, the value may be NaN.
    weight_bits : int
        Bits to keep free for the weights.

    Returns
    -------
    ndarray of uint32 or uint64
    """
    key = _key_dtype(values.dtype, weight_bits)
    packed: npt.NDArray[Any] = _ordered_bits(values).astype(key)
    packed <<= key.type(weight_bits)
    packed |= weights.astype(key)
    return packed


def unpack(
    packed: npt.NDArray[Any], dtype: np.dtype[Any], weight_bits: int
) -> tuple[npt.NDArray[Any], Integers]:
    """Return the values and weights of `pack`."""
    weights = (packed & packed.dtype.type((1 << weight_bits) - 1)).astype(np.int64)
    bits = (packed >> packed.dtype.type(weight_bits)).astype(f"u{dtype.itemsize}")
    sign = bits.dtype.type(1 << (8 * dtype.itemsize - 1))
    if dtype.kind == "f":
        bits ^= np.where(bits & sign, sign, ~bits.dtype.type(0))
    elif dtype.kind == "i":
        bits ^= sign
    return bits.view(dtype), weights


def is_packable(dtype: np.dtype[Any], weight_bits: int) -> bool:
    """Tell whether a value and a weight fit one integer."""
    return dtype.itemsize <= 4 and 8 * dtype.itemsize + weight_bits <= 64


def _key_dtype(dtype: np.dtype[Any], weight_bits: int) -> np.dtype[Any]:
    is_small = 8 * dtype.itemsize + weight_bits <= 32
    return np.dtype(np.uint32 if is_small else np.uint64)


def _ordered_bits(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return unsigned integers in the order of the values; -0.0 first, NaN anywhere."""
    bits: npt.NDArray[Any] = values.view(f"u{values.dtype.itemsize}")
    sign = bits.dtype.type(1 << (8 * bits.itemsize - 1))
    if values.dtype.kind == "f":
        bits = bits ^ np.where(bits & sign, ~bits.dtype.type(0), sign)
    elif values.dtype.kind == "i":
        bits = bits ^ sign
    return bits
