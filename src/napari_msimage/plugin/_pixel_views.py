"""Lazy views of layers' pixels: of another type, stacked, without some axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..engines import BoxReader, DisplayArray
from ._level_view import LevelView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt


class ConvertedPixels:
    """A level with its pixels in another type; indexing a box reads it.

    Parameters
    ----------
    pixels : array-like
        The level.
    dtype : numpy.dtype
        Type that holds all its values.
    """

    def __init__(self, pixels: Any, dtype: np.dtype[Any]) -> None:
        self._reader = BoxReader(pixels)
        self.dtype = dtype
        self.shape = tuple(int(size) for size in pixels.shape)

    @property
    def chunks(self) -> Any:
        """Sizes in which the level is read best, as it says itself."""
        return getattr(self._reader.pixels, "chunks", None)

    @property
    def sources(self) -> tuple[Any, ...]:
        """What is shown in another type."""
        return (self._reader.pixels,)

    def __getitem__(self, box: tuple[slice, ...]) -> npt.NDArray[Any]:
        return self._reader.read(box).astype(self.dtype)


class StackedPixels:
    """Levels of one shape and type as channels, first axis; a box reads its part.

    Parameters
    ----------
    channels : sequence of array-likes
        One per channel.
    """

    def __init__(self, channels: Sequence[Any]) -> None:
        self._readers = [BoxReader(pixels, len(channels)) for pixels in channels]
        first = channels[0]
        self.dtype: np.dtype[Any] = np.dtype(first.dtype)
        self.shape = (len(channels), *(int(size) for size in first.shape))

    @property
    def chunks(self) -> Any:
        """Sizes in which the channels are read best; None if they do not say."""
        chunks = getattr(self._readers[0].pixels, "chunks", None)
        if not chunks:
            return None
        one = 1 if isinstance(chunks[0], int | np.integer) else (1,) * self.shape[0]
        return (one, *chunks)

    @property
    def sources(self) -> tuple[Any, ...]:
        """What is stacked."""
        return tuple(reader.pixels for reader in self._readers)

    def __getitem__(self, box: tuple[slice, ...]) -> npt.NDArray[Any]:
        parts = [reader.read(tuple(box[1:])) for reader in self._readers[box[0]]]
        return np.stack(parts)


class TakenPixels:
    """A level at one pixel along some of its axes; a box of the others reads its part.

    Parameters
    ----------
    pixels : array-like
        The level.
    taken : mapping of int to int
        Which pixel, by axis.
    """

    def __init__(self, pixels: Any, taken: Mapping[int, int]) -> None:
        self._reader = BoxReader(pixels)
        self._taken = dict(taken)
        self.dtype: np.dtype[Any] = np.dtype(pixels.dtype)
        self.shape = tuple(int(size) for size in self._left(pixels.shape))

    @property
    def chunks(self) -> Any:
        """Sizes in which the level is read best; None if it does not say."""
        chunks = getattr(self._reader.pixels, "chunks", None)
        return self._left(chunks) if chunks else None

    @property
    def sources(self) -> tuple[Any, ...]:
        """What is shown a part of."""
        return (self._reader.pixels,)

    def __getitem__(self, box: tuple[slice, ...]) -> npt.NDArray[Any]:
        left = iter(box)
        n_axes = len(self.shape) + len(self._taken)
        key = [
            slice(self._taken[axis], self._taken[axis] + 1)
            if axis in self._taken
            else next(left)
            for axis in range(n_axes)
        ]
        return self._reader.read(tuple(key)).squeeze(tuple(self._taken))

    def _left(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """Return what there is per axis without the axes that are taken."""
        return tuple(v for axis, v in enumerate(values) if axis not in self._taken)


def stored_pixels(level: Any) -> tuple[Any, bool]:
    """Return what a level shows, without the views for display around it.

    Returns
    -------
    pixels : array-like
        The level in the store, where it is one of ours; else `level` itself.
    is_stored : bool
        False for a level that exists for the display only.
    """
    if isinstance(level, LevelView):
        level = level.level
    if not isinstance(level, DisplayArray):
        return level, True
    plan = level.display.plans[level.index]
    if plan.is_stored and level.shape == plan.shape:
        return level.display.stored_levels[plan.stored], True
    return level, plan.is_stored
