"""Timestamps of one write session, so that later writes win over earlier ones."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ._context import MAX_TIMESTAMP_MS, now_ms

if TYPE_CHECKING:
    from collections.abc import Iterable


class WriteClock:
    """Gives every write of a session its timestamp.

    TileDB orders writes to the same cells by timestamp only, and picks at random
    among equal ones (measured with TileDB 2.30). A write that overlaps an earlier one
    of the session therefore gets that one's timestamp plus one; all others share the
    session's.

    Parameters
    ----------
    explicit_ms : int or None
        Timestamp asked for by the user, in ms since 1970-01-01 UTC; None for now.
    """

    def __init__(self, explicit_ms: int | None) -> None:
        self._lock = threading.Lock()
        self._explicit = explicit_ms is not None
        self._base = now_ms() if explicit_ms is None else explicit_ms
        self._last = self._base
        self._boxes: dict[str, _WrittenBoxes] = {}
        self._names: dict[tuple[str, str], int] = {}

    @property
    def base_ms(self) -> int:
        """Timestamp of the session's first writes."""
        return self._base

    @property
    def is_explicit(self) -> bool:
        """Whether the session's timestamp was asked for by the user."""
        return self._explicit

    @property
    def present_ms(self) -> int:
        """Time up to which to read what is there now, this session's writes included.

        Changes apply to the present state, whatever time they are written with.
        """
        return max(now_ms(), self._last)

    def restart(self, explicit_ms: int | None, base_ms: int) -> None:
        """Begin a new session on the same object (``reopen``).

        Its writes win over those of the session before, unless it goes back in time.
        """
        with self._lock:
            if base_ms < self._base:
                self._boxes.clear()
                self._names.clear()
            self._explicit = explicit_ms is not None
            self._base = base_ms
            self._last = max(self._last, base_ms)

    def branch(self) -> WriteClock:
        """Return a clock that knows the same writes and goes its own way from here."""
        with self._lock:
            other = WriteClock(self._base)
            other._explicit = self._explicit
            other._last = self._last
            other._boxes = {uri: boxes.copy() for uri, boxes in self._boxes.items()}
            other._names = dict(self._names)
            return other

    def for_box(self, uri: str, start: Iterable[int], stop: Iterable[int]) -> int:
        """Return the timestamp for writing the cells ``[start, stop)`` of an array."""
        first, last = (np.array(list(end), dtype=np.int64) for end in (start, stop))
        with self._lock:
            earlier = self._boxes.setdefault(uri, _WrittenBoxes(len(first)))
            stamp = max(self._base, earlier.latest(first, last) + 1)
            stamp = self._note(stamp)
            earlier.append(first, last, stamp)
            return stamp

    def for_names(self, uri: str, names: Iterable[str]) -> int:
        """Return the timestamp for writing members or metadata entries at `uri`."""
        keys = [(uri, name) for name in names]
        with self._lock:
            stamp = max(
                [self._base, *(self._names[k] + 1 for k in keys if k in self._names)]
            )
            self._names.update(dict.fromkeys(keys, stamp))
            return self._note(stamp)

    def note_names(self, uri: str, names: Iterable[str], stamp: int) -> None:
        """Note that entries at `uri` were written with a later timestamp than given."""
        with self._lock:
            for name in names:
                self._names[uri, name] = stamp
            self._note(stamp)

    def settle(self) -> None:
        """Wait until the wall clock has passed the last timestamp given.

        Only without an explicit timestamp; then whoever opens the object next, at
        "now", sees all writes. Takes a millisecond or so. A wall clock that was set
        back meanwhile is not waited for.
        """
        start = now_ms()
        if self._explicit or start < self._base:
            return
        deadline = time.monotonic() + (self._last + 2 - start) / 1000
        while now_ms() <= self._last and time.monotonic() < deadline:
            time.sleep(0.0005)

    def _note(self, stamp: int) -> int:
        stamp = min(stamp, MAX_TIMESTAMP_MS)
        self._last = max(self._last, stamp)
        return stamp


class _WrittenBoxes:
    """Boxes of one array written in this session, with their timestamps."""

    def __init__(self, n_dims: int) -> None:
        self._start = np.empty((16, n_dims), dtype=np.int64)
        self._stop = np.empty((16, n_dims), dtype=np.int64)
        self._stamp = np.empty(16, dtype=np.uint64)
        self._count = 0

    def copy(self) -> _WrittenBoxes:
        """Return the same boxes, to which others can be added."""
        other = _WrittenBoxes(self._start.shape[1])
        other._count = self._count
        other._start, other._stop = self._start.copy(), self._stop.copy()
        other._stamp = self._stamp.copy()
        return other

    def latest(self, start: npt.NDArray[np.int64], stop: npt.NDArray[np.int64]) -> int:
        """Return the last timestamp of the boxes that overlap ``[start, stop)``.

        -1 if none does.
        """
        used = slice(self._count)
        overlaps = (self._start[used] < stop) & (start < self._stop[used])
        stamps = self._stamp[used][overlaps.all(axis=1)]
        return int(stamps.max()) if stamps.size else -1

    def append(
        self, start: npt.NDArray[np.int64], stop: npt.NDArray[np.int64], stamp: int
    ) -> None:
        """Note that ``[start, stop)`` is written with a timestamp."""
        if self._count == len(self._stamp):
            self._start, self._stop, self._stamp = (
                np.concatenate([array, np.empty_like(array)])
                for array in (self._start, self._stop, self._stamp)
            )
        at, self._count = self._count, self._count + 1
        self._start[at], self._stop[at], self._stamp[at] = start, stop, stamp
