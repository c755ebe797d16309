"""TileMaker: makes what is missing on the screen in one background thread."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    #: Does a piece of work; asks its argument now and then whether to stop.
    Work: TypeAlias = "Callable[[Callable[[], bool]], object]"


class Job(NamedTuple):
    """Something to make."""

    key: Hashable
    """Names it, per owner."""
    work: Work
    """Makes it. Must not raise."""


class TileMaker:
    """Does jobs of several owners, the latest request first, in one thread.

    An owner has one request at a time: a new one replaces what is left of the last,
    and stops its running job unless the new one wants that too. The thread starts
    with the first job and ends when there is nothing left to do.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._change = threading.Condition(self._lock)
        self._waiting: OrderedDict[int, dict[Hashable, Job]] = OrderedDict()
        self._running: tuple[int, Job] | None = None
        self._stop_running = False
        self._thread: threading.Thread | None = None

    def request(self, owner: object, jobs: Sequence[Job]) -> None:
        """Do these jobs, in this order, before all others; forget the owner's others.

        Parameters
        ----------
        owner : object
            Who asks.
        jobs : sequence of Job
            What is wanted now. One that is running already goes on.
        """
        name = id(owner)
        with self._lock:
            wanted = {job.key: job for job in jobs}
            if self._running and self._running[0] == name:
                running_key = self._running[1].key
                if running_key in wanted and not self._stop_running:
                    del wanted[running_key]
                else:
                    self._stop_running = True
            self._waiting.pop(name, None)
            if wanted:
                self._waiting[name] = wanted
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._work, name="napari-msimage tiles", daemon=True
                    )
                    self._thread.start()
            self._change.notify_all()

    def drop(self, owner: object, timeout: float | None = 5.0) -> bool:
        """Forget an owner's jobs, and wait until none of them is running.

        Returns
        -------
        bool
            Whether that was so within the time.
        """
        self.request(owner, ())
        with self._lock:
            return self._change.wait_for(
                lambda: self._running is None or self._running[0] != id(owner), timeout
            )

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Wait until there is nothing to do; return whether that was so in time."""
        with self._lock:
            return self._change.wait_for(self._is_idle, timeout)

    def join(self, timeout: float | None = 5.0) -> None:
        """Forget all jobs and wait for the thread to end."""
        with self._lock:
            self._waiting.clear()
            self._stop_running = True
            self._change.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _is_idle(self) -> bool:
        return self._running is None and not self._waiting

    def _take(self) -> Job | None:
        """Return the next job, or None when the thread should end; holds the lock."""
        if not self._waiting:
            self._thread = None
            return None
        name = next(reversed(self._waiting))
        jobs = self._waiting[name]
        job = jobs.pop(next(iter(jobs)))
        if not jobs:
            del self._waiting[name]
        self._running, self._stop_running = (name, job), False
        return job

    def _work(self) -> None:
        while True:
            with self._lock:
                job = self._take()
                self._change.notify_all()
            if job is None:
                return
            try:
                job.work(self._is_stopped)
            except BaseException:
                with self._lock:  # a bug: end this thread, the next request starts one
                    self._waiting.clear()
                    self._thread = None
                raise
            finally:
                with self._lock:
                    self._running = None
                    self._change.notify_all()

    def _is_stopped(self) -> bool:
        return self._stop_running


_process_maker = TileMaker()


def tile_maker() -> TileMaker:
    """Return the maker that all images of this process share."""
    return _process_maker
