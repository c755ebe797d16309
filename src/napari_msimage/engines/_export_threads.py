"""Threads of an export: one that writes, watched from outside, and some that read."""

from __future__ import annotations

import collections
import contextlib
import os
import queue
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Final, TypeVar

from ._stored_level import CancelledError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future

T = TypeVar("T")
U = TypeVar("U")

#: Threads that read, or pack, at a time.
N_THREADS: Final = max(1, min(2, os.cpu_count() or 1))
#: How often a run looks whether it is wanted any more, and tells how far it is.
_PULSE_S: Final = 0.1
#: How long a run that is not wanted any more is waited for.
_PATIENCE_S: Final = 0.5


class Ticker:
    """Counts the work done, and stops it when it is not wanted any more.

    All threads of a run share one.
    """

    def __init__(self) -> None:
        self._done: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._total = 0

    def __call__(self, n_bytes: int = 0) -> None:
        """Count bytes as done.

        Raises
        ------
        CancelledError
            If the work is not wanted any more.
        """
        if self._cancelled.is_set():
            raise CancelledError
        if n_bytes:
            self._done.put(n_bytes)

    def cancel(self) -> None:
        """Stop the work at its next tick."""
        self._cancelled.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether the work is not wanted any more."""
        return self._cancelled.is_set()

    def done(self) -> int:
        """Return the bytes done so far; for one thread."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._total += self._done.get_nowait()
        return self._total


def watched(work: Callable[[Ticker], T]) -> Generator[int, None, T]:
    """Do work in a thread, and tell how far it is; closing stops it at its next tick.

    Parameters
    ----------
    work : callable
        Gets a `Ticker`, to be called after every piece of work.

    Yields
    ------
    int
        Bytes done so far, several times a second.

    Returns
    -------
    object
        What `work` returns.
    """
    ticker = Ticker()
    pool = ThreadPoolExecutor(1, "napari-msimage export")
    future = pool.submit(work, ticker)
    finished = threading.Event()
    future.add_done_callback(lambda _: finished.set())
    try:
        while not finished.wait(_PULSE_S):
            yield ticker.done()
        yield ticker.done()
        return future.result()
    finally:
        ticker.cancel()
        # A source that takes long for a block is left behind: what it reads is not
        # written any more, and the thread ends then.
        wait([future], _PATIENCE_S)
        pool.shutdown(wait=False)


def in_order(
    items: Iterable[U],
    work: Callable[[U], T],
    *,
    n_threads: int = N_THREADS,
    n_ahead: int = 1,
) -> Iterator[T]:
    """Yield results in the order of the items, worked on by a few threads.

    Parameters
    ----------
    items : iterable
        What to work on.
    work : callable
        Makes a result of an item; in any of the threads.
    n_threads : int
        How many work at a time.
    n_ahead : int
        Results that wait, or are being made, beyond one per thread.
    """
    pool = ThreadPoolExecutor(n_threads, "napari-msimage export reader")
    pending: collections.deque[Future[T]] = collections.deque()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) >= n_threads + n_ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def for_all(
    items: Iterable[U], work: Callable[[U], object], *, n_threads: int = N_THREADS
) -> None:
    """Work on items in a few threads, in about their order; stops at an error."""
    for _ in in_order(items, work, n_threads=n_threads, n_ahead=n_threads):
        pass
