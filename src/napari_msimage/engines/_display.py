"""A display: the levels to show of one image, none of which is slow or large to show.

`build_display` turns stored levels into a `Display`. Its `levels` are lazy arrays for
a viewer, stored and virtual ones. What the viewer asks of them is served at once:

- a stored level is read, unless that takes more than 64 MiB;
- else, and for virtual levels, tiles in the decoded-tile cache are put together;
- what is missing is shown from the next coarser level meanwhile, and made by a
  background thread (`_tile_maker`), which then tells the listeners.

Other callers than the viewer get exact pixels of every level, however long that takes.
"""

from __future__ import annotations

import math
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..storage import tile_cache
from ._display_array import DisplayArray
from ._display_pyramid import (
    MAX_READ_BYTES,
    MEMORY_BYTES,
    DisplayPlan,
    plan_display,
)
from ._display_tiles import DisplayChange, DisplayTiles
from ._overview import MemoryLevel, OverviewPass
from ._progress import Progress
from ._stored_level import LevelPixels, StoredLevel
from ._tile_maker import TileMaker, tile_maker
from ._windows import (
    Window,
    enlarge,
    map_window,
    window_bytes,
    window_shape,
    window_slices,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    import numpy.typing as npt

    from ..storage import TileCache

#: Larger arrays are not made for a viewer at all.
MAX_SHOWN_BYTES: Final = 4 * MAX_READ_BYTES
#: The pass lets the screen go first, for this long per block.
_YIELD_S: Final = 0.25


class Display:
    """The levels to show of one image; make it with `build_display`.

    Attributes
    ----------
    name : str
        For messages.
    levels : list of DisplayArray
        For the viewer, finest first.
    """

    def __init__(
        self,
        stored: Sequence[StoredLevel],
        plan: DisplayPlan,
        *,
        name: str = "",
        is_viewer: Callable[[], bool] = lambda: True,
        cache: TileCache | None = None,
        maker: TileMaker | None = None,
    ) -> None:
        self.name = name
        self.plans = plan.levels
        self.dtype = stored[0].dtype
        self.levels = [DisplayArray(self, i) for i in range(len(self.plans))]
        self._stored = tuple(stored)
        self._n_spatial = plan.n_spatial
        self._is_viewer = is_viewer
        self._maker = maker or tile_maker()
        self._tiles = DisplayTiles(
            stored, plan, cache or tile_cache(), self._maker, self._tell
        )
        self._memory = {
            index: MemoryLevel(plan.shape, self.dtype)
            for index, plan in enumerate(self.plans)
            if plan.in_memory
        }
        self._listeners: list[Callable[[DisplayChange], object]] = []
        self._is_open = True
        self._n_closed = 0
        self._filling = threading.Lock()
        self._looked_at: tuple[int, Window] | None = None

    # What the plugin asks

    @property
    def needs_pass(self) -> bool:
        """Whether levels in memory are not filled yet."""
        return any(not level.is_done for level in self._memory.values())

    @property
    def coarsest_is_stored(self) -> bool:
        """Whether the coarsest level has real pixels; else it is an overview."""
        return self.plans[-1].is_stored

    @property
    def stored_levels(self) -> list[LevelPixels]:
        """The levels with real pixels, finest first, unguarded."""
        return [level.array for level in self._stored]

    def finest_shown_whole(self, max_side: int | None = None) -> int:
        """Return the finest display level that may be shown whole, in one piece.

        Parameters
        ----------
        max_side : int, optional
            The most pixels along any axis.
        """
        for index, plan in enumerate(self.plans):
            nbytes = math.prod(plan.shape) * self.dtype.itemsize
            is_short = max_side is None or max(plan.shape) <= max_side
            if nbytes <= MAX_READ_BYTES and is_short:
                return index
        return len(self.plans) - 1

    def sample(self) -> npt.NDArray[Any]:
        """Read a few tiles of the coarsest stored level, at most 8 MiB.

        Returns
        -------
        ndarray, (n_pixels, ...)
            The pixels, with the colours if there are any.
        """
        return self._stored[-1].sample(self._n_spatial)

    def shows(self, index: int, change: DisplayChange) -> bool:
        """Tell whether a level on the screen looks different after a change."""
        if change.kind == "filled":
            return index >= change.level
        # A finer level may be shown by way of the one whose tile was made.
        return change.kind == "made" and index <= change.level

    def subscribe(self, listener: Callable[[DisplayChange], object]) -> None:
        """Call a listener after each change, in whatever thread makes it."""
        self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[DisplayChange], object]) -> None:
        """Stop calling a listener; it need not be one."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def fill(self) -> Generator[Progress, None, bool]:
        """Fill the levels in memory; an engine.

        Yields
        ------
        Progress
            In blocks of at most 16 MiB.

        Returns
        -------
        bool
            Whether it was completed; not if `close` was called.

        Raises
        ------
        SOMAError
            If the store cannot be read.
        """
        return self._fill(self._n_closed)

    def _fill(self, n_closed: int) -> Generator[Progress, None, bool]:
        """Fill the levels unless the display was closed since."""

        def is_cancelled() -> bool:
            return self._should_stop_pass(n_closed)

        passes = self._passes()
        total = sum(one.blocks.n_left for _, one in passes)
        done = 0
        for finest, one in passes:
            tell = partial(self._tell, DisplayChange("filled", finest))
            focus = partial(self._focus, one.source)
            n_blocks = one.blocks.n_left
            engine = one.run(is_cancelled, tell, focus)
            while True:
                with self._filling:
                    progress = next(engine, None)
                if progress is None:
                    break
                yield Progress(done + progress.done, total)
            if self._is_over(n_closed):
                return False
            done += n_blocks
        return True

    def open(self) -> None:
        """Allow background work again after `close`; a new display is open."""
        self._is_open = True
        self._tiles.open()

    def close(self, timeout: float = 5.0) -> bool:
        """Stop all background work, wait for that, and free the memory.

        Returns
        -------
        bool
            Whether the work ended within the time (seconds); one small read at most
            is waited for.
        """
        self._is_open = False
        self._n_closed += 1
        is_stopped = self._tiles.close(timeout)
        if not self._filling.acquire(timeout=timeout):
            return False
        try:
            for index, level in self._memory.items():
                # The viewer may hold on to the coarsest one, as its thumbnail.
                if index < len(self.plans) - 1:
                    level.drop()
        finally:
            self._filling.release()
        return is_stopped

    # What the levels ask

    def read(self, index: int, window: Window) -> npt.NDArray[Any]:
        """Return the pixels of a window of a display level; see the module."""
        if self._is_viewer():
            return self._show(index, window)
        plan = self.plans[index]
        if plan.in_memory and self._memory[index].is_done:
            return self._memory[index].pixels[window_slices(window)].copy()
        source = self._stored[plan.stored]
        if plan.is_stored:
            return source.read(window)
        return source.coarser_window(window, plan.shape)

    def chunks(self, index: int) -> Any:
        """Return the tiles of a display level in dask's form, None if unknown."""
        plan = self.plans[index]
        if plan.is_stored:
            return getattr(self._stored[plan.stored].array, "chunks", None)
        return tuple(
            (extent,) * (n // extent) + ((n % extent,) if n % extent else ())
            for extent, n in zip(self._tiles.extents(index), plan.shape, strict=True)
        )

    # For the viewer

    def _show(self, index: int, window: Window) -> npt.NDArray[Any]:
        """Return what to show now; have the rest made."""
        plan = self.plans[index]
        if index < len(self.plans) - 1:  # that one is asked for with each thumbnail
            self._looked_at = (index, window)
        nbytes = window_bytes(window, self.dtype)
        if nbytes > MAX_SHOWN_BYTES:
            self._tell(DisplayChange("refused", index, nbytes=nbytes))
            return np.broadcast_to(np.zeros((), self.dtype), window_shape(window))
        if plan.in_memory:
            return self._peek(index, window)
        if plan.is_stored:
            source = self._stored[plan.stored]
            if source.decoded_bytes(window) <= MAX_READ_BYTES:
                return source.read(window)
        pixels = self._peek(index, window)
        self._tiles.request(index, window)
        return pixels

    def _peek(self, index: int, window: Window) -> npt.NDArray[Any]:
        """Return the best pixels at hand; reads little, has nothing made."""
        plan = self.plans[index]
        if plan.in_memory:
            return self._peek_memory(index, window)
        if plan.is_stored:
            source = self._stored[plan.stored]
            is_last = index == len(self.plans) - 1
            if is_last or source.decoded_bytes(window) <= MAX_READ_BYTES // 4:
                return source.read(window)
        tiles = {
            at: self._tiles.get(index, at) for at in self._tiles.needed(index, window)
        }
        if any(tile is None for tile in tiles.values()):
            pixels = self._enlarged(index, window)
        else:
            pixels = np.empty(window_shape(window), self.dtype)
        for at, tile in tiles.items():
            if tile is not None:
                _paste(pixels, window, tile, at)
        return pixels

    def _peek_memory(self, index: int, window: Window) -> npt.NDArray[Any]:
        level = self._memory[index]
        if not level.is_started and self.coarsest_is_stored:
            return self._enlarged(index, window)
        return level.pixels[window_slices(window)]

    def _enlarged(self, index: int, window: Window) -> npt.NDArray[Any]:
        """Return a window as the next coarser level has it."""
        shape, coarse = self.plans[index].shape, self.plans[index + 1].shape
        pixels = self._peek(index + 1, map_window(window, shape, coarse))
        pixels = enlarge(pixels, window, shape, coarse)
        return pixels if pixels.flags.writeable else pixels.copy()

    # The pass

    def _passes(self) -> list[tuple[int, OverviewPass]]:
        """Return the passes to run, each with the finest display level it fills."""
        groups: dict[int, list[int]] = {}
        for index, level in self._memory.items():
            if not level.is_done:
                groups.setdefault(self.plans[index].stored, []).append(index)
        found = []
        for stored, indices in sorted(groups.items(), reverse=True):
            levels = tuple(self._memory[i] for i in indices)
            coarser = self._stored[stored + 1 :]
            one = OverviewPass(
                self._stored[stored],
                levels,
                self._n_spatial,
                coarser[0] if coarser else None,
            )
            found.append((indices[0], one))
        return found

    def _focus(self, source: StoredLevel) -> Window | None:
        """Return the window of a stored level that was looked at last."""
        if self._looked_at is None:
            return None
        index, window = self._looked_at
        return map_window(window, self.plans[index].shape, source.shape)

    def _should_stop_pass(self, n_closed: int) -> bool:
        """Let the screen go first; tell whether the display was closed since."""
        give_up = time.monotonic() + _YIELD_S
        while time.monotonic() < give_up and not self._is_over(n_closed):
            if self._maker.wait_idle(_YIELD_S / 10):
                break
        return self._is_over(n_closed)

    def _is_over(self, n_closed: int) -> bool:
        """Tell whether a pass begun after so many closings should end."""
        return n_closed != self._n_closed or not self._is_open

    def _tell(self, change: DisplayChange) -> None:
        for listener in list(self._listeners):
            listener(change)

    def __repr__(self) -> str:
        shapes = ", ".join(
            f"{plan.shape}{'' if plan.is_stored else ' virtual'}" for plan in self.plans
        )
        return f"Display({self.name!r}, {self.dtype}, {shapes})"


def _paste(
    pixels: npt.NDArray[Any], window: Window, tile: npt.NDArray[Any], at: Window
) -> None:
    """Copy the part of a tile that lies in a window."""
    part = tuple(
        (max(a, c), min(b, d)) for (a, b), (c, d) in zip(window, at, strict=True)
    )
    origin = tuple(start for start, _ in window)
    tile_origin = tuple(start for start, _ in at)
    pixels[window_slices(part, origin)] = tile[window_slices(part, tile_origin)]


def build_display(
    levels: Sequence[LevelPixels],
    *,
    rgb: bool = False,
    is_labels: bool = False,
    name: str = "",
    n_sharing: int = 1,
    is_viewer: Callable[[], bool] = lambda: True,
    cache: TileCache | None = None,
    maker: TileMaker | None = None,
) -> Display:
    """Return the levels to show of an image; reads nothing.

    Parameters
    ----------
    levels : sequence of array-like
        The stored levels, finest first, in the viewer's axis order: spatial axes, at
        least two, then the colours if `rgb`. Best a `LevelArray`.
    rgb : bool
        Whether the last axis holds colours.
    is_labels : bool
        Whether pixels are labels: coarser levels are made of single ones then, not of
        means, which would be labels that are nowhere in the image.
    name : str
        Name of the image, for messages.
    n_sharing : int
        How many displays (channels of one image) share the memory for levels.
    is_viewer : callable, optional
        Whether the caller is a viewer, which is better served fast than exactly.
        Asked in the thread and below the stack frame of the caller. Default: always.
    cache, maker : optional
        Where tiles are kept and by what thread they are made; default: the ones that
        all images of the process share.

    Returns
    -------
    Display
        Its ``levels`` go to the viewer; ``fill`` fills the overview.

    Raises
    ------
    ArgumentError
        If the levels do not get smaller, or their axes or colours differ.
    """
    stored = [StoredLevel(level, is_labels=is_labels) for level in levels]
    plan = plan_display(
        [level.shape for level in stored],
        np.dtype(stored[0].dtype) if stored else np.dtype(np.uint8),
        rgb=rgb,
        memory_bytes=MEMORY_BYTES // max(1, n_sharing),
    )
    return Display(
        stored,
        plan,
        name=name,
        is_viewer=is_viewer,
        cache=cache,
        maker=maker,
    )
