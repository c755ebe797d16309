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
        self._boxes: dict[str, list[tuple[npt.NDArray[np.int64], int]]] = {}
        self._names: dict[tuple[str, str], int] = {}

    @property
    def base_ms(self) -> int:
        """Timestamp of the session's first writes."""
        return self._base

    def restart(self, explicit_ms: int | None) -> None:
        """Begin a new session on the same object (``reopen``)."""
        with self._lock:
            self._explicit = explicit_ms is not None
            self._base = now_ms() if explicit_ms is None else explicit_ms
            self._last = max(self._last, self._base)

    def for_box(self, uri: str, start: Iterable[int], stop: Iterable[int]) -> int:
        """Return the timestamp for writing the cells ``[start, stop)`` of an array."""
        box = np.array([list(start), list(stop)], dtype=np.int64)
        with self._lock:
            earlier = self._boxes.setdefault(uri, [])
            stamp = self._base
            for other, used in earlier:
                if used >= stamp and _overlap(box, other):
                    stamp = used + 1
            earlier.append((box, stamp))
            return self._note(stamp)

    def for_names(self, uri: str, names: Iterable[str]) -> int:
        """Return the timestamp for writing members or metadata entries at `uri`."""
        keys = [(uri, name) for name in names]
        with self._lock:
            stamp = max(
                [self._base, *(self._names[k] + 1 for k in keys if k in self._names)]
            )
            self._names.update(dict.fromkeys(keys, stamp))
            return self._note(stamp)

    def settle(self) -> None:
        """Wait until the wall clock has passed the last timestamp given.

        Only without an explicit timestamp; then whoever opens the object next, at
        "now", sees all writes. Takes a millisecond or so.
        """
        while not self._explicit and now_ms() <= self._last:
            time.sleep(0.0005)

    def _note(self, stamp: int) -> int:
        stamp = min(stamp, MAX_TIMESTAMP_MS)
        self._last = max(self._last, stamp)
        return stamp


def _overlap(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> bool:
    return bool(np.all(a[0] < b[1]) and np.all(b[0] < a[1]))
