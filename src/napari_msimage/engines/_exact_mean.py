"""Means of integers, exact: equal to arithmetic with integers of any size.

Sums over areas are carried from level to level unrounded, each level is rounded from
its own sums. Where they could exceed 64 bits, values are cut into limbs that are summed
apart and joined by long division.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import ArgumentError
from ._axis_fold import weighted_sums, whole_sums
from ._windows import Window, window_shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from ._axis_ratio import Run
    from ._nested_levels import NestedLevels
    from ._scratch import Scratch

_UNSIGNED: Final = tuple(np.dtype(f"u{size}") for size in (1, 2, 4, 8))


class ExactMean:
    """Makes the area means of nested levels from a block of unrounded source pixels.

    Parameters
    ----------
    dtype : dtype
        Any integer type.
    levels : NestedLevels
        The levels over the source.

    Raises
    ------
    ArgumentError
        If an area is too large: about 2**62 weights.

    Notes
    -----
    Signed values are shifted by half their range, which commutes with rounding halves
    upwards, so that all sums are unsigned. With ``A`` the area and ``S`` the sum,
    ``floor(S / A + 1 / 2) = (S + A // 2) // A``. Long division of ``sum(S_i * 2**(b *
    i))``: Knuth, TAOCP 2, section 4.3.1, exercise 16; its digits need not be below
    ``2**b`` since the quotient is summed modulo ``2**64``.
    """

    def __init__(
        self,
        dtype: np.dtype[Any],
        levels: NestedLevels,
    ) -> None:
        self._unsigned = np.dtype(f"u{dtype.itemsize}")
        self._sign = 1 << (8 * dtype.itemsize - 1) if dtype.kind == "i" else 0
        self._levels = levels
        root_area = math.prod(ratio.p for ratio in levels.root)
        self._areas = [root_area * math.prod(factors) for factors in levels.factors]
        self._limb_bits, self._n_limbs = _cut(8 * dtype.itemsize, self._areas[-1])

    def reduce(
        self,
        pixels: npt.NDArray[Any],
        box: Window,
        runs: Sequence[Sequence[Run]],
        outs: Sequence[npt.NDArray[Any]],
        scratch: Scratch,
    ) -> None:
        """Write the means of every level.

        Parameters
        ----------
        pixels : ndarray
            The source pixels below the box.
        box : Window
            Half-open bounds per axis, in pixels of the finest level.
        runs : sequence of sequence of Run, (n_axes,)
            The outputs of the finest level.
        outs : sequence of ndarray
            One per level, finest first.
        scratch : Scratch
            Memory to compute in.
        """
        values = pixels.view(self._unsigned)
        if self._sign:
            sign = self._unsigned.type(self._sign)
            shifted = scratch.step(values.shape, self._unsigned)
            values = np.bitwise_xor(values, sign, out=shifted)
        if self._n_limbs > 1:
            self._reduce_limbs(values, runs, outs, scratch)
            return
        for level, sums in enumerate(self._level_sums(values, runs, scratch)):
            self._store(_divide(sums, self._areas[level], scratch), outs[level])

    def _reduce_limbs(
        self,
        values: npt.NDArray[Any],
        runs: Sequence[Sequence[Run]],
        outs: Sequence[npt.NDArray[Any]],
        scratch: Scratch,
    ) -> None:
        if self._sign:
            values = values.copy()  # out of the scratch memory
        quotients = [np.zeros(out.shape, np.uint64) for out in outs]
        rests = [np.zeros(out.shape, np.uint64) for out in outs]
        mask = self._unsigned.type((1 << self._limb_bits) - 1)
        bits = np.uint64(self._limb_bits)
        for limb in reversed(range(self._n_limbs)):
            digits = values >> self._unsigned.type(limb * self._limb_bits)
            digits &= mask
            digits = digits.astype(_holding(int(mask)))
            for level, sums in enumerate(self._level_sums(digits, runs, scratch)):
                area = np.uint64(self._areas[level])
                rest, quotient = rests[level], quotients[level]
                rest <<= bits
                rest += sums
                if limb == 0:
                    rest += area >> np.uint64(1)
                digit = rest // area
                rest -= digit * area
                quotient <<= bits
                quotient += digit
        for quotient, out in zip(quotients, outs, strict=True):
            self._store(quotient, out)

    def _store(self, means: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
        target = out.view(self._unsigned)
        np.copyto(target, means, casting="unsafe")
        if self._sign:
            target ^= self._unsigned.type(self._sign)

    def _level_sums(
        self,
        values: npt.NDArray[Any],
        runs: Sequence[Sequence[Run]],
        scratch: Scratch,
    ) -> Iterator[npt.NDArray[Any]]:
        """Yield the weighted sums of every level, in the smallest type that fits."""
        weight = 1
        for axis in self._axis_order():
            ratio = self._levels.root[axis]
            if ratio.p == 1:
                continue
            weight *= ratio.p
            dtype = self._sum_dtype(weight)
            if ratio.q == 1:
                values = whole_sums(values, axis, ratio.p, dtype, scratch)
            else:
                values = weighted_sums(
                    values, axis, runs[axis], ratio.q, dtype, scratch
                )
        yield values
        for factors in self._levels.steps:
            for axis, factor in enumerate(factors):
                if factor > 1:
                    weight *= factor
                    dtype = self._sum_dtype(weight)
                    values = whole_sums(values, axis, factor, dtype, scratch)
            yield values

    def _axis_order(self) -> list[int]:
        """Return whole rows first, but bytes in pairs: they widen for nothing."""
        axes = list(range(len(self._levels.root)))
        last = self._levels.root[-1]
        if self._unsigned.itemsize == 1 and last.q == 1 and last.p % 2 == 0:
            return [axes[-1], *axes[:-1]]
        return axes

    def _sum_dtype(self, weight: int) -> np.dtype[Any]:
        bits = min(self._limb_bits, 8 * self._unsigned.itemsize)
        return _holding(((1 << bits) - 1) * weight + weight // 2)

    def working_bytes(self, box: Window) -> int:
        """Return the most memory that `reduce` needs at once, without its outputs."""
        shape = list(self._levels.source_shape(box))
        n_source = math.prod(shape)
        size = n_source * self._unsigned.itemsize
        held = size * bool(self._sign)
        if self._n_limbs > 1:
            held += 3 * size + 4 * 8 * math.prod(window_shape(box))
        most, weight, is_source = held, 1, not self._sign
        for axis in self._axis_order():
            ratio = self._levels.root[axis]
            if ratio.p == 1:
                continue
            weight *= ratio.p
            shape[axis] = window_shape(box)[axis]
            made = math.prod(shape) * self._sum_dtype(weight).itemsize
            if ratio.q > 1:  # gathered pixels, and terms beside the sums
                needed = 2 * size + 3 * made
            elif axis == len(shape) - 1 and ratio.p % 2 == 0:  # halves of pairs
                needed = 3 * size + made
            else:
                needed = size * (not is_source) + 2 * made
            most = max(most, held + needed)
            size, is_source = made, False
        return max(most, held + 3 * size)


def _divide(sums: npt.NDArray[Any], area: int, scratch: Scratch) -> npt.NDArray[Any]:
    """Return ``floor(sums / area + 1 / 2)``."""
    if area == 1:
        return sums
    means = scratch.extra(sums.shape, sums.dtype)
    np.add(sums, sums.dtype.type(area // 2), out=means)
    if area & (area - 1) == 0:
        means >>= sums.dtype.type(area.bit_length() - 1)
    else:
        means //= sums.dtype.type(area)
    return means


def _holding(value: int) -> np.dtype[Any]:
    """Return the smallest unsigned type that holds a value below ``2**64``."""
    return next(t for t in _UNSIGNED if value < 1 << (8 * t.itemsize))


def _cut(bits: int, area: int) -> tuple[int, int]:
    """Return the bits per limb, and the limbs, of values summed over an area."""
    if ((1 << bits) - 1) * area + area // 2 < 1 << 64:
        return bits, 1
    # A rest is below the area: rest * 2**b + the next sum has to stay below 2**64.
    most = 63 - area.bit_length()
    if most < 1:
        msg = (
            f"Exact means need areas below 2**62 when counted in parts of source "
            f"pixels, got {area} (about 2**{area.bit_length() - 1}). Choose sizes "
            f"that share more factors with the source's, or fewer coarse levels."
        )
        raise ArgumentError(msg)
    n_limbs = -(-bits // most)
    return -(-bits // n_limbs), n_limbs
