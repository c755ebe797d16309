"""Tiles of virtual levels: made on request, kept in the decoded-tile cache."""

from __future__ import annotations

import dataclasses
import itertools
import math
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final, Literal

from ..errors import SOMAError
from ._stored_level import CancelledError
from ._tile_maker import Job
from ._windows import Window, align_window, tile_windows, window_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from ..storage import TileCache
    from ._display_pyramid import DisplayPlan
    from ._stored_level import StoredLevel
    from ._tile_maker import TileMaker, Work

#: Side of a tile in pixels, where the level is not thin.
_TILE_SIDE: Final = 512
#: A window whose tiles are this many times larger is made by itself.
_THIN: Final = 4

_numbers = itertools.count()


@dataclasses.dataclass(frozen=True, slots=True)
class DisplayChange:
    """Something a listener of a display should know."""

    kind: Literal["filled", "made", "refused", "failed"]
    """filled: levels in memory got pixels; made: a tile is ready; refused: a request
    was too large to serve; failed: a background read failed."""
    level: int
    """Display level that it concerns (filled: the finest of them)."""
    error: SOMAError | None = None
    """What went wrong (failed)."""
    nbytes: int = 0
    """Size of the request (refused)."""


class DisplayTiles:
    """The tiles of one display.

    A tile is a window of a level: one of a grid; or just what was asked for, where
    tiles would be much larger, as for a cut across the planes of a volume. Stored
    levels have tiles too, for what is too much to be read while the viewer waits.

    Parameters
    ----------
    stored : sequence of StoredLevel
        What tiles are made from.
    plan : DisplayPlan
        The levels.
    cache : TileCache
        Where tiles are kept; what it drops is made anew when it is asked for again.
    maker : TileMaker
        Who makes them.
    tell : callable
        Hears of each tile, in the maker's thread.
    """

    def __init__(
        self,
        stored: Sequence[StoredLevel],
        plan: DisplayPlan,
        cache: TileCache,
        maker: TileMaker,
        tell: Callable[[DisplayChange], object],
    ) -> None:
        self._stored = stored
        self._plans = plan.levels
        self._n_spatial = plan.n_spatial
        self._dtype = stored[0].dtype
        self._cache = cache
        self._maker = maker
        self._tell = tell
        self._owner = f"napari-msimage-display:{next(_numbers)}"
        self._closed = threading.Event()
        self._view: tuple[int, Window] | None = None
        self._made: set[tuple[int, Window]] = set()
        weakref.finalize(self, cache.evict, self._owner)

    def extents(self, index: int) -> tuple[int, ...]:
        """Return the tile extents of a level: about 512 x 512 pixels.

        Those of a stored level are whole stored tiles.
        """
        plan, n_spatial = self._plans[index], self._n_spatial
        colours = plan.shape[n_spatial:]
        if plan.is_stored:
            stored = self._stored[plan.stored].tile_extents[:n_spatial]
            plane = [e * -(-_TILE_SIDE // e) for e in stored[-2:]]
            return (*stored[:-2], *plane, *colours)
        *_, height, width = (1, *plan.shape[:n_spatial])
        width = min(width, max(_TILE_SIDE, _TILE_SIDE**2 // height))
        height = min(height, _TILE_SIDE**2 // width)
        return (1,) * (n_spatial - 2) + (height, width)[-n_spatial:] + colours

    def needed(self, index: int, window: Window) -> list[Window]:
        """Return the tiles for a window of a level, the middle ones first."""
        shape, extents = self._plans[index].shape, self.extents(index)
        tiles_bytes = window_bytes(align_window(window, extents, shape), self._dtype)
        tile_bytes = math.prod(extents) * self._dtype.itemsize
        few = max(window_bytes(window, self._dtype), tile_bytes)
        if tiles_bytes > _THIN * few:
            return [window]
        return tile_windows(window, extents, shape)

    def get(self, index: int, tile: Window) -> npt.NDArray[Any] | None:
        """Return a tile if it is at hand."""
        return self._cache.get((self._owner, index, tile))

    def request(self, index: int, window: Window) -> None:
        """Have the missing tiles of a window made; forget the last request.

        At most as much is made as half the cache holds, and nothing twice for the same
        window: what the cache could not keep stays as it is until one looks elsewhere.
        """
        if self._view != (index, window):
            self._view = (index, window)
            self._made.clear()
        jobs = []
        nbytes = 0
        for tile in self.needed(index, window):
            nbytes += window_bytes(tile, self._dtype)
            if nbytes > self._cache.max_bytes // 2 or self._closed.is_set():
                break
            is_made = (index, tile) in self._made or self.get(index, tile) is not None
            if not is_made:
                jobs.append(Job((index, tile), self._work(index, tile)))
        self._maker.request(self, jobs)

    def open(self) -> None:
        """Allow tiles to be made again."""
        self._closed.clear()

    def close(self, timeout: float) -> bool:
        """Make no more tiles and drop those at hand.

        Returns
        -------
        bool
            Whether the running one was given up within the time (seconds).
        """
        self._closed.set()
        is_stopped = self._maker.drop(self, timeout)
        self._cache.evict(self._owner)
        return is_stopped

    def _work(self, index: int, tile: Window) -> Work:
        plan = self._plans[index]
        source = self._stored[plan.stored]

        def work(is_stopped: Callable[[], bool]) -> None:
            try:
                pixels = source.coarser_window(tile, plan.shape, is_stopped)
            except CancelledError:
                return
            except SOMAError as err:
                self._made.add((index, tile))
                self._tell(DisplayChange("failed", index, error=err))
                return
            self._made.add((index, tile))
            if not self._closed.is_set():
                key = (self._owner, index, tile)
                self._cache.get_or_make(key, pixels.nbytes, lambda: pixels)
                self._tell(DisplayChange("made", index))

        return work
