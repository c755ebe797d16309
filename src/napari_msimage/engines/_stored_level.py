"""A stored level as a source of pixels: bounded reads, and coarser ones made of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from ._area_mean import AxisMean, area_mean
from ._display_nearest import nearest_window
from ._windows import (
    Window,
    align_window,
    origin_of,
    split_window,
    whole_window,
    window_bytes,
    window_shape,
    window_slices,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

#: Most bytes decoded at once for a tile that is made in the background.
PIECE_BYTES: Final = 8 * 2**20
#: A tile that needs more than this of a stored level is made without the cache.
_MAX_CACHED_BYTES: Final = 8 * 2**20
#: Number of tiles in a sample.
_SAMPLE_TILES: Final = 16
#: Tile extent where an array does not say.
_DEFAULT_EXTENT: Final = 512


class CancelledError(Exception):
    """Work was given up because nobody wants it any more; never leaves the engines."""


class LevelPixels(Protocol):
    """What is asked of a level: a `LevelArray`, or a numpy array.

    Optional: ``chunks`` in dask's form, and ``read(cached=...)`` on what indexing
    gives; else ``np.asarray`` reads.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __getitem__(self, key: Any) -> Any: ...


class StoredLevel:
    """A level in a store.

    Parameters
    ----------
    array : LevelPixels
        Spatial axes first, as the viewer has them; colours last, if any.
    is_labels : bool
        Whether pixels are labels, a mean of which is another label.
    """

    def __init__(self, array: LevelPixels, *, is_labels: bool = False) -> None:
        self.array = array
        self.is_labels = is_labels
        self.shape = tuple(int(n) for n in array.shape)
        self.dtype = np.dtype(array.dtype)
        self.tile_extents = _tile_extents(array, self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the whole level, decoded."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, window: Window, *, cached: bool = True) -> npt.NDArray[Any]:
        """Read a window.

        Parameters
        ----------
        window : Window
            Half-open bounds per axis.
        cached : bool
            Whether decoded tiles are kept for the next read.
        """
        view = self.array[window_slices(window)]
        if not cached and hasattr(view, "read"):
            pixels: npt.NDArray[Any] = view.read(cached=False)
            return pixels
        return np.asarray(view)

    def decoded_bytes(self, window: Window) -> int:
        """Return the bytes of all tiles that a window touches."""
        return window_bytes(
            align_window(window, self.tile_extents, self.shape), self.dtype
        )

    def sample(self, n_spatial: int) -> npt.NDArray[Any]:
        """Read up to 16 tiles spread over the level, at most 8 MiB; flattened."""
        counts = [
            -(-n // e) for n, e in zip(self.shape, self.tile_extents, strict=True)
        ]
        tile_bytes = math.prod(self.tile_extents[:n_spatial]) * self.dtype.itemsize
        tile_bytes *= math.prod(self.shape[n_spatial:])
        n_tiles = max(1, min(_SAMPLE_TILES, PIECE_BYTES // tile_bytes))
        # Steps of an irrational part of each axis spread any number of tiles evenly.
        step = np.array([math.sqrt(p) % 1 for p in (2, 3, 5, 7, 11)][:n_spatial])
        places = (0.5 + np.arange(n_tiles)[:, None] * step) % 1
        corners = {tuple((p * counts[:n_spatial]).astype(int)) for p in places}
        tiles = []
        for corner in sorted(corners):
            window = tuple(
                (int(i) * e, min((int(i) + 1) * e, n))
                for i, e, n in zip(corner, self.tile_extents, self.shape, strict=False)
            )
            pixels = self.read(window + whole_window(self.shape[n_spatial:]))
            tiles.append(pixels.reshape(-1, *self.shape[n_spatial:]))
        return np.concatenate(tiles)

    def coarser_window(
        self,
        window: Window,
        shape: tuple[int, ...],
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> npt.NDArray[Any]:
        """Make a window of a coarser level: exact area means, or picked labels.

        Parameters
        ----------
        window : Window
            Of the coarser level.
        shape : tuple of int, (n_axes,)
            Shape of the coarser level; this one's for the pixels themselves.
        is_cancelled : callable
            Asked before each read of at most 8 MiB.

        Returns
        -------
        ndarray
            In the shape of the window.

        Raises
        ------
        CancelledError
            If it was cancelled.
        """
        means = [AxisMean(n, m) for n, m in zip(self.shape, shape, strict=True)]

        def source_window(part: Window) -> Window:
            return tuple(
                mean.source_range(*bounds)
                for mean, bounds in zip(means, part, strict=True)
            )

        def cost(part: Window) -> int:
            return self.decoded_bytes(source_window(part))

        cached = cost(window) <= _MAX_CACHED_BYTES
        pixels = np.empty(window_shape(window), self.dtype)
        for piece in split_window(window, cost, PIECE_BYTES):
            if is_cancelled():
                raise CancelledError
            needed = source_window(piece)
            source = self.read(needed, cached=cached)
            at = window_slices(piece, origin_of(window))
            if self.is_labels:
                made = nearest_window(source, needed, piece, self.shape, shape)
            else:
                made = area_mean(source, means, origin_of(needed), piece)
            pixels[at] = made
        return pixels


def _tile_extents(array: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the tile extents of an array: its own, or 512 along the last axes."""
    chunks = getattr(array, "chunks", None)
    if chunks is None:
        return tuple(min(n, _DEFAULT_EXTENT) for n in shape)
    return tuple(
        max(c) if isinstance(c, tuple) else min(int(c), n)
        for c, n in zip(chunks, shape, strict=True)
    )
