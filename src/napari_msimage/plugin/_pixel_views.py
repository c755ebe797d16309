"""Lazy views of layers' pixels as they are to be stored: another type, stacked."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..engines import DisplayArray
from ._level_view import LevelView

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

#: Whose arrays several threads may read at a time.
_THREAD_SAFE: Final = ("numpy", "dask", "zarr", "napari_msimage")


class _Source:
    """One array-like, read box by box, by one thread at a time if need be."""

    def __init__(self, pixels: Any) -> None:
        self.pixels = pixels
        room = type(pixels).__module__.partition(".")[0]
        self._lock = None if room in _THREAD_SAFE else threading.Lock()

    def read(self, box: Any) -> npt.NDArray[Any]:
        """Return the pixels of a box."""
        if self._lock is None:
            return self._read(box)
        with self._lock:
            return self._read(box)

    def _read(self, box: Any) -> npt.NDArray[Any]:
        part = self.pixels[box]
        # passing over a stored level must not push out what is on the screen
        uncached = getattr(part, "read", None)
        if type(part).__module__.startswith("napari_msimage.") and uncached:
            found: npt.NDArray[Any] = uncached(cached=False)
            return found
        return np.asarray(part)


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
        self._source = _Source(pixels)
        self.dtype = dtype
        self.shape = tuple(int(size) for size in pixels.shape)

    @property
    def chunks(self) -> Any:
        """Sizes in which the level is read best, as it says itself."""
        return getattr(self._source.pixels, "chunks", None)

    def __getitem__(self, box: Any) -> npt.NDArray[Any]:
        return self._source.read(box).astype(self.dtype)


class StackedPixels:
    """Levels of one shape and type as channels, first axis; a box reads its part.

    Parameters
    ----------
    channels : sequence of array-likes
        One per channel.
    """

    def __init__(self, channels: Sequence[Any]) -> None:
        self._sources = [_Source(pixels) for pixels in channels]
        first = channels[0]
        self.dtype: np.dtype[Any] = np.dtype(first.dtype)
        self.shape = (len(channels), *(int(size) for size in first.shape))

    @property
    def chunks(self) -> Any:
        """Sizes in which the channels are read best; None if they do not say."""
        chunks = getattr(self._sources[0].pixels, "chunks", None)
        if not chunks:
            return None
        one = 1 if isinstance(chunks[0], int | np.integer) else (1,) * self.shape[0]
        return (one, *chunks)

    def __getitem__(self, box: tuple[slice, ...]) -> npt.NDArray[Any]:
        parts = [source.read(tuple(box[1:])) for source in self._sources[box[0]]]
        return np.stack(parts)


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
