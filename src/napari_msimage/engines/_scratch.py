"""Scratch memory that is used again and again, for speed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


class Scratch:
    """Memory for the steps of a computation, each made from the one before.

    To be filled with pages by the system costs large arrays more time than simple
    arithmetic: these get theirs once. Not for several threads at a time.
    """

    def __init__(self) -> None:
        self._buffers = [np.empty(0, np.uint8) for _ in range(3)]
        self._turn = 0

    def step(self, shape: Sequence[int], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return an array that keeps its values until the next but one."""
        self._turn = 1 - self._turn
        return self._array(self._turn, shape, dtype)

    def extra(self, shape: Sequence[int], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return an array that keeps its values until the next of this kind."""
        return self._array(2, shape, dtype)

    def _array(
        self, which: int, shape: Sequence[int], dtype: np.dtype[Any]
    ) -> npt.NDArray[Any]:
        n_bytes = math.prod(shape) * dtype.itemsize
        if self._buffers[which].size < n_bytes:
            self._buffers[which] = np.empty(n_bytes, np.uint8)
        return self._buffers[which][:n_bytes].view(dtype).reshape(tuple(shape))
