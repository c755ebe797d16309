"""DisplayArray: one level of a display as a lazy array for a viewer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._display import Display


class DisplayArray:
    """One level of a display: indexing composes, ``np.asarray`` reads.

    Parameters
    ----------
    display : Display
        Whose level it is.
    index : int
        Which one.
    """

    __slots__ = ("__weakref__", "_axes", "_ranges", "display", "index")

    def __init__(self, display: Display, index: int) -> None:
        self.display = display
        self.index = index
        self._ranges = tuple(map(range, display.plans[index].shape))
        self._axes = tuple(range(len(self._ranges)))

    @property
    def is_stored(self) -> bool:
        """Whether the level is in the store; else it is made for the display only."""
        return self.display.plans[self.index].is_stored

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels per axis of this view."""
        return tuple(len(self._ranges[axis]) for axis in self._axes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type."""
        return self.display.dtype

    @property
    def ndim(self) -> int:
        """Number of axes of this view."""
        return len(self._axes)

    @property
    def size(self) -> int:
        """Number of pixels of this view."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of this view."""
        return self.size * self.dtype.itemsize

    @property
    def chunks(self) -> Any:
        """Tiles of a whole level in dask's form; None for a part, or if unknown."""
        is_whole = self.shape == self.display.plans[self.index].shape
        return self.display.chunks(self.index) if is_whole else None

    def __getitem__(self, key: Any) -> DisplayArray:
        """Return a view; reads nothing.

        Parameters
        ----------
        key : int, slice, Ellipsis or tuple of these
            As in numpy.

        Raises
        ------
        IndexError
            If an integer is out of bounds, there are too many indices, or an index is
            of another kind.
        """
        keys = key if isinstance(key, tuple) else (key,)
        if not all(_is_basic(k) for k in keys):
            msg = (
                f"only integers, slices and '...' can index a displayed level, got "
                f"{key!r}; read first, as np.asarray(level)[...]"
            )
            raise IndexError(msg)
        # numpy refuses what it would refuse on an array of this shape.
        np.broadcast_to(np.empty((), bool), self.shape)[key]
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            filler = (slice(None),) * (self.ndim - len(keys) + 1)
            keys = (*keys[:at], *filler, *keys[at + 1 :])
        keys += (slice(None),) * (self.ndim - len(keys))
        ranges = list(self._ranges)
        axes = []
        for axis, item in zip(self._axes, keys, strict=True):
            if isinstance(item, slice):
                ranges[axis] = ranges[axis][item]
                axes.append(axis)
            else:
                at = ranges[axis][item]
                ranges[axis] = range(at, at + 1)
        view = DisplayArray(self.display, self.index)
        view._ranges, view._axes = tuple(ranges), tuple(axes)
        return view

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """Return the pixels, as `Display.read` says."""
        ranges = self._ranges
        if self.size:
            ups = [r if r.step > 0 else r[::-1] for r in ranges]
            window = tuple((r[0], r[-1] + 1) for r in ups)
            pixels = self.display.read(self.index, window)
            # Back to the steps, and the order, that were asked for.
            pixels = pixels[tuple(slice(None, None, abs(r.step)) for r in ups)]
            pixels = pixels[
                tuple(slice(None, None, -1 if r.step < 0 else 1) for r in ranges)
            ]
        else:
            pixels = np.empty(tuple(map(len, ranges)), self.dtype)
        kept = [slice(None) if axis in self._axes else 0 for axis in range(len(ranges))]
        pixels = pixels[tuple(kept)]
        if dtype is not None:
            pixels = pixels.astype(dtype, copy=False)
        return pixels.copy() if copy else pixels

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        kind = "stored" if self.is_stored else "virtual"
        return f"DisplayArray(level {self.index}, {kind}, {self.shape}, {self.dtype})"


def _is_basic(item: object) -> bool:
    if item is Ellipsis or isinstance(item, slice):
        return True
    return isinstance(item, (int, np.integer)) and not isinstance(item, bool)
