"""Runs engines in threads for widgets: progress, cancel, errors as sentences.

The thread never touches Qt: the window's thread looks at a job ten times a second. A
widget may be gone by then; the job is not, and cleans up after itself.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import dataclasses
import functools
import gc
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

from ...errors import BusyError, SOMAError
from .._notices import has_window, run_soon

if TYPE_CHECKING:
    from ...engines import Progress  # it brings TileDB: not while a window waits

_LOGGER = logging.getLogger(__name__)

T = TypeVar("T")

_TICK_MS: Final = 100
#: Of the threads that work; 0 is a program's, 19 the least.
_NICENESS: Final = 10
#: The speed is that of the last seconds.
_SPEED_S: Final = 3.0
#: A program that ends waits this long for its jobs to clean up.
_STOP_S: Final = 5.0
#: Questions that hang, on a dead server, keep this many threads.
_MAX_THREADS: Final = 4


def sentence_of(err: BaseException) -> str:
    """Return an error as a sentence for the user; log what should not happen."""
    if isinstance(err, SOMAError):
        text = str(err)
        return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")
    if isinstance(err, MemoryError):
        return "There is not enough memory; close other programs or images."
    _LOGGER.error("A job ended by an unexpected error", exc_info=err)
    return f"It stopped by an unexpected error, {type(err).__name__}: {err}"


# Speed ----------------------------------------------------------------------------


class Pace:
    """How fast bytes go by, and how long the rest takes."""

    def __init__(self) -> None:
        self._seen: collections.deque[tuple[float, int]] = collections.deque()

    def note(self, progress: Progress, now: float) -> None:
        """Take in a progress of this time, in seconds that go up."""
        self._seen.append((now, progress.done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _SPEED_S:
            self._seen.popleft()

    @property
    def bytes_per_s(self) -> float:
        """Speed of the last seconds; 0 while it is not known."""
        if not self._seen:
            return 0.0
        (start, first), (end, last) = self._seen[0], self._seen[-1]
        return (last - first) / (end - start) if end > start else 0.0

    def in_words(self, progress: Progress) -> str:
        """Return a progress in bytes as text, with speed and time left."""
        from ...engines import bytes_in_words

        words = f"{bytes_in_words(progress.done)} of {bytes_in_words(progress.total)}"
        speed = self.bytes_per_s
        if progress.done >= progress.total or speed <= 0:
            return words
        left = seconds_in_words((progress.total - progress.done) / speed)
        return f"{words}, {bytes_in_words(speed)}/s, {left} left"


def seconds_in_words(seconds: float) -> str:
    """Return a time as text."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


# Jobs -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """How a job ended."""

    kind: Literal["done", "cancelled", "failed"]
    """Whether the engine came to its end, was closed, or raised."""
    seconds: float
    """How long it took."""
    result: T | None = None
    """What the engine returned."""
    message: str = ""
    """What went wrong, for the user."""


class Job(Generic[T]):
    """An engine at work in a thread of its own; used in the window's thread.

    Parameters
    ----------
    make_engine : callable
        Returns the engine; called, run and closed in the job's thread.
    subject : str
        What is being changed. Two jobs of one subject do not run at a time.
    busy : str
        Sentence for whoever wants another job of that subject meanwhile.
    """

    def __init__(
        self,
        make_engine: Callable[[], Generator[Progress, None, T]],
        *,
        subject: str,
        busy: str,
    ) -> None:
        self.subject = subject
        self._busy = busy
        self._make_engine = make_engine
        self._cancelled = threading.Event()
        self._listeners: list[Callable[[Job[T]], object]] = []
        self._thread: threading.Thread | None = None
        self._timer: Any = None
        self._start = 0.0
        self._result: Outcome[T] | None = None
        self.progress: Progress | None = None
        """The last progress of the engine, None before the first."""
        self.outcome: Outcome[T] | None = None
        """How the job ended, None until then."""
        self.pace = Pace()
        """Its speed."""

    def start(self) -> None:
        """Start the work.

        Raises
        ------
        BusyError
            If a job of the same subject is running.
        """
        from qtpy.QtCore import QTimer

        for other in _running:
            if other.subject == self.subject:
                raise BusyError(other._busy)
        _stop_at_the_end()
        _running.append(self)
        _spare_the_window()
        self._start = time.monotonic()
        self._thread = threading.Thread(
            target=self._work, name="napari-msimage job", daemon=True
        )
        self._thread.start()
        self._timer = QTimer()
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self._look)
        self._timer.start()

    def cancel(self) -> None:
        """Ask the engine to stop, which takes a fraction of a second; cleans up."""
        self._cancelled.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled.is_set()

    def wait(self, timeout: float) -> None:
        """Wait for the thread, at most for some seconds."""
        if self._thread is not None:
            self._thread.join(timeout)

    def subscribe(self, listener: Callable[[Job[T]], object]) -> None:
        """Have a function called ten times a second, and once more at the end."""
        self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[Job[T]], object]) -> None:
        """Leave a function in peace from now on."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def _work(self) -> None:
        """Run the engine, in the job's thread."""
        outcome: Outcome[T]
        _let_the_window_go_first()
        try:
            outcome = self._drain()
        except Exception as err:  # noqa: BLE001 the user gets a sentence, the log the rest
            seconds = time.monotonic() - self._start
            outcome = Outcome("failed", seconds, message=sentence_of(err))
        self._result = outcome

    def _drain(self) -> Outcome[T]:
        engine = self._make_engine()
        try:
            while not self._cancelled.is_set():
                self.progress = next(engine)
        except StopIteration as stop:
            return Outcome("done", time.monotonic() - self._start, stop.value)
        finally:
            engine.close()
        return Outcome("cancelled", time.monotonic() - self._start)

    def _look(self) -> None:
        """Tell the listeners what there is, in the window's thread."""
        thread, progress = self._thread, self.progress
        if progress is not None:
            self.pace.note(progress, time.monotonic())
        if thread is not None and not thread.is_alive():
            self._timer.stop()
            self.outcome = self._result
            _running.remove(self)
            _spare_the_window()
        for listener in list(self._listeners):
            listener(self)
        if self.outcome is not None:
            self._let_go()

    def _let_go(self) -> None:
        """Hold nothing that an image or widget hangs on any more."""
        self._listeners.clear()
        self._make_engine = _over
        self._thread = None


def _let_the_window_go_first() -> None:
    """Lower the priority of this thread, and of those it starts, where that works."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def _over() -> Generator[Progress, None, Any]:
    msg = "The job is over"
    raise RuntimeError(msg)


_running: list[Job[Any]] = []
_has_frozen: list[bool] = []


def _spare_the_window() -> None:
    """Keep the garbage collector off what is there, as long as a job runs.

    A full collection goes through all of napari's objects, which stops the window for
    an eighth of a second; the many small objects of a job would bring one about.
    """
    if _running and not gc.get_freeze_count():
        gc.freeze()
        _has_frozen.append(True)
    elif not _running and _has_frozen:
        _has_frozen.clear()
        gc.unfreeze()


def running_jobs() -> list[Job[Any]]:
    """Return the jobs that run."""
    return list(_running)


@functools.cache
def _stop_at_the_end() -> None:
    """Have all jobs stopped before Qt is."""
    from qtpy.QtWidgets import QApplication

    app: Any = QApplication.instance()
    app.aboutToQuit.connect(_stop_all)
    atexit.register(_stop_all)


def _stop_all() -> None:
    for job in _running:
        job.cancel()
    for job in _running:
        job.wait(_STOP_S)


# Questions --------------------------------------------------------------------------


class Questions:
    """Answers the newest of many questions, each in a thread of its own.

    Parameters
    ----------
    on_answer : callable
        A bound method that takes the answer, or the error; called in the window's
        thread, as long as its object lives.
    delay_ms : int
        How long to wait for a newer question.
    """

    def __init__(self, on_answer: Callable[[Any], object], delay_ms: int) -> None:
        from qtpy.QtCore import QTimer

        self._on_answer = weakref.WeakMethod(on_answer)
        self._question: Callable[[], Any] | None = None
        self._number = self._first_wanted = 0
        self._open: set[int] = set()
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(delay_ms)
        self._timer.timeout.connect(self._start)

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is still to come."""
        return self._question is not None or self._is_answering

    def ask(self, question: Callable[[], Any], *, is_update: bool = False) -> None:
        """Ask; questions that nobody answers yet are forgotten.

        Parameters
        ----------
        question : callable
            Called in a thread; returns the answer.
        is_update : bool
            Whether an older question that is being answered is wanted too: it is
            waited for. Otherwise the older ones are forgotten.
        """
        self._question = question
        self._number += 1
        if not is_update:
            self._first_wanted = self._number
        self._timer.start()

    def close(self) -> None:
        """Forget all questions."""
        self._question = None
        self._number += 1
        self._first_wanted = self._number
        self._timer.stop()

    @property
    def _is_answering(self) -> bool:
        return any(number >= self._first_wanted for number in self._open)

    def _start(self) -> None:
        question, number = self._question, self._number
        if question is None or self._is_answering or len(self._open) >= _MAX_THREADS:
            return
        self._question = None
        self._open.add(number)
        tell = functools.partial(_tell, weakref.ref(self), number)
        threading.Thread(
            target=_answer,
            args=(question, tell),
            name="napari-msimage question",
            daemon=True,
        ).start()

    def _deliver(self, number: int, answer: Any) -> None:
        self._open.discard(number)
        on_answer = self._on_answer()
        if number >= self._first_wanted and on_answer is not None:
            on_answer(answer)
        if not self._timer.isActive():
            self._start()


def _answer(question: Callable[[], Any], tell: Callable[[Any], None]) -> None:
    """Answer a question, in its thread."""
    answer: Any
    try:
        answer = question()
    except Exception as err:  # noqa: BLE001 whoever asks turns it into a sentence
        answer = err
    if has_window():
        run_soon(functools.partial(tell, answer))


def _tell(asker: weakref.ref[Questions], number: int, answer: Any) -> None:
    if (questions := asker()) is not None:
        questions._deliver(number, answer)
