"""TileCache: decoded tiles kept up to a number of bytes, shared by all levels."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import numpy as np
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[np.generic]
    #: The first item is the URI that the tile belongs to.
    TileKey: TypeAlias = tuple[Any, ...]
    #: Tiles that are views of one buffer, and the bytes of that buffer.
    TileGroup: TypeAlias = tuple[Mapping[TileKey, Array], int]

_LARGEST_DEFAULT: Final = 2**30
_SMALLEST_DEFAULT: Final = 2**26


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counts of a cache since it was made or its counts were reset."""

    hits: int
    """Tiles that were found."""
    misses: int
    """Tiles that were made (for stored levels: decoded)."""
    waits: int
    """Tiles that another thread was making when they were asked for."""
    evictions: int
    """Tiles that were dropped to stay within the budget."""
    n_tiles: int
    """Tiles held now."""
    nbytes: int
    """Bytes held now."""
    max_bytes: int
    """The budget."""


@dataclass(slots=True, eq=False)
class _Buffer:
    """The memory behind one or several tiles."""

    nbytes: int
    n_tiles: int


class _Batch:
    """The tiles that one thread has claimed, and those of them that it has made."""

    __slots__ = ("claimed", "made", "thread_id")

    def __init__(self) -> None:
        self.claimed: list[TileKey] = []
        self.made: dict[TileKey, Array] = {}
        self.thread_id = threading.get_ident()


class TileCache:
    """Decoded tiles, least recently used dropped first; safe to share by threads.

    A tile that several threads ask for is made by one of them; the others wait for
    it. What is held cannot be written to. Memory is counted by buffer: a read of
    several tiles at once makes one buffer, which is freed when its last tile goes.

    Parameters
    ----------
    max_bytes : int
        The budget; 0 keeps nothing.

    Raises
    ------
    ArgumentError
        If `max_bytes` is negative.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = _check_max_bytes(max_bytes)
        self._forget_all()
        _caches.add(self)

    def _forget_all(self) -> None:
        self._lock = threading.Lock()
        self._change = threading.Condition(self._lock)
        self._tiles: OrderedDict[TileKey, tuple[Array, _Buffer]] = OrderedDict()
        self._claims: dict[TileKey, _Batch] = {}
        self._evicting: deque[str] = deque()
        self._nbytes = 0
        self._hits = self._misses = self._waits = self._evictions = 0

    @property
    def max_bytes(self) -> int:
        """The budget in bytes."""
        return self._max_bytes

    def set_max_bytes(self, max_bytes: int) -> None:
        """Change the budget; drops tiles at once if it shrinks.

        Raises
        ------
        ArgumentError
            If `max_bytes` is negative.
        """
        with self._lock:
            self._evict_now()
            self._max_bytes = _check_max_bytes(max_bytes)
            self._shrink()

    def stats(self) -> CacheStats:
        """Return the counts and sizes of this moment."""
        with self._lock:
            self._evict_now()
            return CacheStats(
                hits=self._hits,
                misses=self._misses,
                waits=self._waits,
                evictions=self._evictions,
                n_tiles=len(self._tiles),
                nbytes=self._nbytes,
                max_bytes=self._max_bytes,
            )

    def clear(self) -> None:
        """Drop all tiles and set the counts to zero."""
        with self._lock:
            self._tiles.clear()
            self._nbytes = 0
            self._hits = self._misses = self._waits = self._evictions = 0

    def evict(self, uri: str) -> None:
        """Drop the tiles of the array at `uri`, and of everything stored below it.

        May be called by a finalizer, in a thread that is inside another method: then
        that thread, or the next one that looks, drops them.
        """
        self._evicting.append(uri)
        if self._lock.acquire(blocking=False):
            try:
                self._evict_now()
            finally:
                self._lock.release()

    def get(self, key: TileKey) -> Array | None:
        """Return a tile if it is held, else None; never waits."""
        with self._lock:
            self._evict_now()
            return self._find(key)

    def get_or_make(
        self, key: TileKey, nbytes: int, make: Callable[[], Array]
    ) -> Array:
        """Return a tile, made by `make` unless it is held or being made.

        Parameters
        ----------
        key : tuple
            Names the tile; the first item is the URI that it belongs to.
        nbytes : int
            Bytes that the tile occupies.
        make : callable
            Makes the tile. It may ask for other tiles, but not for this one, nor for
            any that needs this one. What it raises passes through.

        Returns
        -------
        ndarray
            Not writeable; copy it to change it.
        """

        def make_group(_: list[TileKey]) -> Iterator[TileGroup]:
            yield {key: make()}, nbytes

        return self.get_many([key], make_group)[key]

    def get_many(
        self,
        keys: Iterable[TileKey],
        make: Callable[[list[TileKey]], Iterable[TileGroup]],
    ) -> dict[TileKey, Array]:
        """Return tiles; those neither held nor being made are made in one call.

        Parameters
        ----------
        keys : iterable of tuple
            Names of the tiles, each once.
        make : callable
            Given the missing keys, yields groups of tiles that share a buffer with
            that buffer's bytes, until all are made. See `get_or_make`.

        Returns
        -------
        dict of tuple to ndarray
            Not writeable. Complete even where the budget holds less.

        Notes
        -----
        A thread first makes what it has claimed, then waits for others, so that two
        threads never wait for each other. If a maker fails, those who waited for it
        try themselves and meet the error in their own name.
        """
        found: dict[TileKey, Array] = {}
        wanted = list(keys)
        while wanted:
            mine, others = self._claim(wanted, found)
            if mine.claimed:
                self._make(mine, make)
                found.update(mine.made)
            wanted = self._wait(others, found)
        return found

    def _claim(
        self, keys: list[TileKey], found: dict[TileKey, Array]
    ) -> tuple[_Batch, dict[TileKey, _Batch]]:
        """Collect what is held; claim what nobody makes; list what others make."""
        mine = _Batch()
        others: dict[TileKey, _Batch] = {}
        with self._lock:
            self._evict_now()
            for key in keys:
                if (tile := self._find(key)) is not None:
                    found[key] = tile
                elif (batch := self._claims.get(key)) is not None:
                    others[key] = batch
                else:
                    mine.claimed.append(key)
            for key, batch in others.items():
                if batch.thread_id == mine.thread_id:
                    msg = f"making the tile {key!r} asks for the tile itself"
                    raise RuntimeError(msg)
            self._claims.update(dict.fromkeys(mine.claimed, mine))
            self._hits += len(keys) - len(mine.claimed) - len(others)
            self._waits += len(others)
        return mine, others

    def _make(
        self, mine: _Batch, make: Callable[[list[TileKey]], Iterable[TileGroup]]
    ) -> None:
        """Make what was claimed; whatever happens, nothing stays claimed."""
        try:
            for tiles, nbytes in make(list(mine.claimed)):
                self._keep(mine, tiles, nbytes)
        finally:
            with self._lock:
                for key in mine.claimed:
                    if self._claims.get(key) is mine:
                        del self._claims[key]
                self._change.notify_all()

    def _keep(self, mine: _Batch, tiles: Mapping[TileKey, Array], nbytes: int) -> None:
        """Hold tiles that share a buffer and hand them to those who wait."""
        for array in tiles.values():
            array.flags.writeable = False
        buffer = _Buffer(nbytes, len(tiles))
        with self._lock:
            mine.made.update(tiles)
            for key in tiles:
                self._claims.pop(key, None)
            self._misses += len(tiles)
            if nbytes <= self._max_bytes:
                self._nbytes += nbytes
                self._tiles.update((key, (tiles[key], buffer)) for key in tiles)
                self._shrink()
            self._change.notify_all()

    def _wait(
        self, others: Mapping[TileKey, _Batch], found: dict[TileKey, Array]
    ) -> list[TileKey]:
        """Collect what other threads make; return the keys where they failed."""
        failed = []
        with self._change:
            for key, batch in others.items():
                while self._claims.get(key) is batch:
                    self._change.wait()
                if key in batch.made:
                    found[key] = batch.made[key]
                else:
                    failed.append(key)
        return failed

    def _evict_now(self) -> None:
        while self._evicting:
            uri = self._evicting.popleft()
            below = uri.rstrip("/") + "/"
            for key in list(self._tiles):
                if key[0] == uri or str(key[0]).startswith(below):
                    self._drop(key)

    def _find(self, key: TileKey) -> Array | None:
        tile = self._tiles.get(key)
        if tile is None:
            return None
        self._tiles.move_to_end(key)
        return tile[0]

    def _drop(self, key: TileKey) -> None:
        _, buffer = self._tiles.pop(key)
        buffer.n_tiles -= 1
        if not buffer.n_tiles:
            self._nbytes -= buffer.nbytes

    def _shrink(self) -> None:
        while self._nbytes > self._max_bytes:
            self._drop(next(iter(self._tiles)))
            self._evictions += 1


def _check_max_bytes(max_bytes: int) -> int:
    if max_bytes < 0:
        msg = f"max_bytes must be 0 or more, got {max_bytes!r}"
        raise ArgumentError(msg)
    return int(max_bytes)


def default_max_bytes() -> int:
    """Return the default budget: an eighth of the memory, 64 MiB to 1 GiB."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not known, as on Windows
        return _LARGEST_DEFAULT // 2
    return min(max(memory // 8, _SMALLEST_DEFAULT), _LARGEST_DEFAULT)


_caches: weakref.WeakSet[TileCache] = weakref.WeakSet()
_process_cache = TileCache(default_max_bytes())


def tile_cache() -> TileCache:
    """Return the cache that all levels of this process share."""
    return _process_cache


def _forget_inherited_tiles() -> None:
    # A thread of the parent may have held the lock, which no one in the child frees.
    for cache in list(_caches):
        cache._forget_all()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited_tiles)
