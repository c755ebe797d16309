"""Geometry of one axis: which source pixels, and how much of each, an output covers.

Output ``k`` of an axis with ``n_out`` pixels covers ``[k, k + 1) * n_in / n_out`` of
the source. With ``p / q`` that ratio in lowest terms, everything is an integer when
lengths are counted in ``1 / q`` of a source pixel: an output has length ``p``, a source
pixel ``q``.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Integers: TypeAlias = npt.NDArray[np.int64]

#: Mean length of segments from which slicing beats gathering, for outputs that are
#: neighbours in memory and for whole rows of them.
_MIN_SEGMENT: Final = 24
_MIN_ROW_SEGMENT: Final = 3
#: Inner pixels from which an output counts as a row.
_ROW: Final = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """Outputs that each touch the same number of source pixels.

    Positions count from the first output, and the first source pixel, of the range
    that the run was made for.
    """

    outputs: slice | Integers
    """Where the outputs are."""
    firsts: slice | Integers
    """The first source pixel that each output touches."""
    count: int
    """Source pixels that each output touches, at least partly."""
    first_weights: Integers
    """Covered length of the first touched pixel, in ``1 / q``, one per output."""
    last_weights: Integers
    """Covered length of the last touched pixel; those between count ``q``."""

    def tap(self, pixels: npt.NDArray[Any], axis: int, step: int) -> npt.NDArray[Any]:
        """Return the touched pixel number ``step`` of every output along an axis."""
        if isinstance(self.firsts, slice):
            start, stop, stride = self.firsts.start, self.firsts.stop, self.firsts.step
            return pixels[along(axis, slice(start + step, stop + step, stride))]
        return np.take(pixels, self.firsts + step, axis)


@dataclasses.dataclass(frozen=True, slots=True)
class AxisRatio:
    """``n_in`` source pixels seen as ``n_out`` larger ones, ``1 <= n_out <= n_in``."""

    n_in: int
    """Source pixels."""
    n_out: int
    """Outputs."""

    @property
    def p(self) -> int:
        """Numerator of the ratio in lowest terms."""
        return self.n_in // math.gcd(self.n_in, self.n_out)

    @property
    def q(self) -> int:
        """Denominator of the ratio in lowest terms; 1 for a whole factor."""
        return self.n_out // math.gcd(self.n_in, self.n_out)

    def source_range(self, start: int, stop: int) -> tuple[int, int]:
        """Return the source pixels ``[first, last)`` that ``[start, stop)`` touches."""
        first = start * self.p // self.q
        return first, max(first, -(-stop * self.p // self.q))

    def centres(self, start: int, stop: int) -> Integers:
        """Return the source pixels with the centres of ``[start, stop)``.

        Counted from the first pixel of `source_range`; of two pixels whose border is
        the centre, the lower one.
        """
        p, q = self.p, self.q
        origin = start * p // q
        offset = (2 * start + 1) * p + 2 * q - 1 - 2 * q * (origin + 1)
        return (offset + 2 * p * np.arange(stop - start, dtype=np.int64)) // (2 * q)

    def touched(
        self, start: int, stop: int
    ) -> tuple[Integers, Integers, Integers, Integers]:
        """Return first pixels, counts, and weights of the first and last pixels.

        Parameters
        ----------
        start, stop : int
            Outputs ``[start, stop)``.

        Returns
        -------
        firsts, counts, first_weights, last_weights : ndarray of int64, (stop - start,)
            As in `Run`. The weights of a pixel that is first and last are not its own.
        """
        p, q = self.p, self.q
        # Small numbers from here on, however far out the range lies.
        edges = start * p % q + p * np.arange(stop - start + 1, dtype=np.int64)
        floors = edges // q
        parts = edges - floors * q
        firsts = floors[:-1]
        lasts = floors[1:] + (parts[1:] > 0)
        last_weights = np.where(parts[1:] > 0, parts[1:], q)
        return firsts, lasts - firsts, q - parts[:-1], last_weights

    def runs(self, start: int, stop: int, inner: int) -> list[Run]:
        """Cut outputs into few runs, long enough to be worth a numpy call each.

        Parameters
        ----------
        start, stop : int
            Outputs ``[start, stop)``.
        inner : int
            Pixels that lie side by side in memory per position along this axis.

        Returns
        -------
        list of Run
            Segments with a constant stride where they are long; index arrays, one per
            count, where they would be short.
        """
        firsts, counts, *weights = self.touched(start, stop)
        stride = (2 * self.p + self.q) // (2 * self.q)
        is_break = (np.diff(firsts) != stride) | (np.diff(counts) != 0)
        cuts = [0, *(np.flatnonzero(is_break) + 1).tolist(), stop - start]
        min_length = _MIN_ROW_SEGMENT if inner >= _ROW else _MIN_SEGMENT
        at: slice | Integers
        runs = []
        if len(cuts) > 4 and (len(cuts) - 1) * min_length > stop - start:
            for count in np.unique(counts).tolist():
                at = np.flatnonzero(counts == count)
                first_weights, last_weights = (w[at] for w in weights)
                runs.append(Run(at, firsts[at], count, first_weights, last_weights))
            return runs
        for low, high in itertools.pairwise(cuts):
            at = slice(low, high)
            count = int(counts[low])
            taken = slice(int(firsts[low]), int(firsts[high - 1]) + 1, stride)
            first_weights, last_weights = (w[at] for w in weights)
            runs.append(Run(at, taken, count, first_weights, last_weights))
        return runs

    def windows(self, start: int, stop: int) -> tuple[Integers, int, Integers | None]:
        """Return windows of one size around the touched pixels of outputs.

        Parameters
        ----------
        start, stop : int
            Outputs ``[start, stop)``, at least one.

        Returns
        -------
        firsts : ndarray of int64, (stop - start,)
            First source pixel of each window, counted from the first of
            `source_range`, which no window leaves.
        size : int
            Pixels of every window.
        weights : ndarray of int64, (stop - start, size), or None
            Covered lengths, 0 for pixels not touched; None where all are equal.
        """
        firsts, counts, first_weights, last_weights = self.touched(start, stop)
        size = int(counts.max())
        if self.q == 1:
            return firsts, size, None
        inside = np.minimum(firsts, firsts[-1] + counts[-1] - size)
        low = (firsts - inside)[:, None]
        high = low + counts[:, None]
        steps = np.arange(size, dtype=np.int64)
        weights = np.where((low <= steps) & (steps < high), self.q, 0)
        np.put_along_axis(weights, low, first_weights[:, None], 1)
        np.put_along_axis(weights, high - 1, last_weights[:, None], 1)
        return inside, size, weights


def along(axis: int, index: slice | Integers) -> tuple[slice | Integers, ...]:
    """Return the index that applies along one axis."""
    return (slice(None),) * axis + (index,)
