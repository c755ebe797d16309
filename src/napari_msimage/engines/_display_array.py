"""DisplayArray: one level of a display as a lazy array for a viewer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentTypeError
from ..storage import Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ._display import Display


class DisplayArray:
    """One level of a display: indexing composes, ``np.asarray`` reads.

    Pickled, a stored level is the level in the store, without the display around it.

    Parameters
    ----------
    display : Display
        Whose level it is.
    index : int
        Which one.
    selection : Selection, optional
        Which pixels of it; all by default.
    """

    __slots__ = ("__weakref__", "_selection", "display", "index")

    def __init__(
        self, display: Display, index: int, selection: Selection | None = None
    ) -> None:
        self.display = display
        self.index = index
        self._selection = selection or Selection.whole(display.plans[index].shape)

    @property
    def is_stored(self) -> bool:
        """Whether the level is in the store; else it is made for the display only."""
        return self.display.plans[self.index].is_stored

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels per axis of this view."""
        return self._selection.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type."""
        return self.display.dtype

    @property
    def ndim(self) -> int:
        """Number of axes of this view."""
        return len(self.shape)

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
        """Tiles of this view in dask's form; None if they are not known."""
        tiles = self.display.chunks(self.index)
        if tiles is None:
            return None
        return self._selection.chunks([max(sizes) for sizes in tiles])

    def __getitem__(self, key: Any) -> DisplayArray:
        """Return a view, as numpy's basic indexing; reads nothing.

        Raises
        ------
        LevelIndexError, ArgumentTypeError, ArgumentError
            As `LevelArray`.
        """
        return DisplayArray(self.display, self.index, self._selection.index(key))

    def transpose(self, axes: Sequence[int] | None = None) -> DisplayArray:
        """Return a view with its axes in another order; reads nothing."""
        selection = self._selection.transpose(axes)
        return DisplayArray(self.display, self.index, selection)

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """Return the pixels, as `Display.read` says."""
        pixels = np.empty(self.shape, self.dtype)
        if self.size:
            ups = self._selection.sorted_ranges
            window = tuple((up[0], up[-1] + 1) for up in ups)
            found = self.display.read(self.index, window)
            if self._selection == Selection.of_window(window):
                pixels = found  # the usual case, without a copy
            else:
                steps = tuple(slice(None, None, up.step) for up in ups)
                self._selection.in_array_order(pixels)[...] = found[steps]
        return pixels if dtype is None else pixels.astype(dtype, copy=False)

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.is_stored:
            msg = (
                f"{self!r} is made for the display only and cannot be pickled; use a "
                "level of the store"
            )
            raise ArgumentTypeError(msg)
        level = self.display.stored_levels[self.display.plans[self.index].stored]
        return self._selection.apply, (level,)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        kind = "stored" if self.is_stored else "virtual"
        return f"DisplayArray(level {self.index}, {kind}, {self.shape}, {self.dtype})"
