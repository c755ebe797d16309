"""The lower end of a form: what is said, how far a run is, Run and Cancel."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from magicgui.widgets import Container, ProgressBar, PushButton, Widget

from ...errors import SOMAError
from .._keys import bind_keys
from ._jobs import Job, Outcome, Questions, seconds_in_words, sentence_of
from ._parts import Message, scrolling_column

_DELAY_MS: Final = 150
_MIN_WIDTH: Final = 350
_PARTS: Final = 1000
_PROGRESS_S: Final = 0.25
#: A sentence that is shown for less is only a flicker.
_PATIENCE_MS: Final = 500

#: What engines return: keys of levels, or addresses.
Names: TypeAlias = tuple[str, ...]


class Life:
    """What outlives the form's Qt widgets for a moment, and has to end with them."""

    def __init__(self, questions: Questions) -> None:
        self.questions = questions
        self.job: Job[Names] | None = None
        self.is_over = False

    def end(self, _: Any = None) -> None:
        """Stop the run, and all plans."""
        self.is_over = True
        if self.job is not None:
            self.job.cancel()
        # a program that ends deletes Qt's objects in any order
        with contextlib.suppress(RuntimeError):
            self.questions.close()


class RunPart:
    """Asks questions and runs jobs for a form, and shows what becomes of them.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer of the form.
    on_answer : callable
        A bound method that takes the answers to questions.
    on_run : callable
        Called when a job has started.
    on_end : callable
        Called when it has ended, and that was said.
    run_tooltip, cancel_tooltip : str
        Help for the buttons.
    """

    def __init__(
        self,
        viewer: Any,
        *,
        on_answer: Callable[[Any], object],
        on_run: Callable[[], object],
        on_end: Callable[[], object],
        run_tooltip: str,
        cancel_tooltip: str,
    ) -> None:
        from qtpy.QtCore import QTimer

        bind_keys(viewer)
        self._viewer = viewer
        self._on_run, self._on_end = on_run, on_end
        self._words: Callable[[Outcome[Names]], str] = str
        self._next_progress = 0.0
        self._form: Container[Any] | None = None
        self._text_soon = ""
        self._soon: Any = QTimer()
        self._soon.setSingleShot(True)
        self._soon.setInterval(_PATIENCE_MS)
        self._soon.timeout.connect(self._say_now)
        self.life = Life(Questions(on_answer, _DELAY_MS))
        self.message = Message()
        self.run = PushButton(text="Run", tooltip=run_tooltip, enabled=False)
        self.cancel = PushButton(text="Cancel", tooltip=cancel_tooltip, enabled=False)
        self.bar = ProgressBar(min=0, max=_PARTS, value=0)
        self.buttons: Container[Widget] = Container(
            widgets=[self.run, self.cancel], layout="horizontal", labels=False
        )
        self.buttons.margins = (0, 0, 0, 0)
        self.cancel.changed.connect(self._cancel)

    def lay_out(
        self, form: Container[Any], widgets: Iterable[Any], *sentences: Message
    ) -> None:
        """Put Qt widgets in a column that scrolls, and the rest of the form below it.

        The run ends when the form does.

        Parameters
        ----------
        form : Container
            The form.
        widgets : iterable of QWidget
            What scrolls; Tab goes from the last one to the buttons.
        *sentences : Message
            More that is said, above the message.
        """
        from qtpy.QtCore import Qt
        from qtpy.QtWidgets import QTableWidget, QWidget

        form.extend([self.bar, self.buttons])
        layout = form.native.layout()
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(6)
        column = list(widgets)
        area = scrolling_column(column)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # Tab goes to what is in it
        layout.insertWidget(0, area, 1000)  # as high as its content, if there is room
        for number, message in enumerate((*sentences, self.message), start=1):
            layout.insertWidget(number, message.native)
        layout.addStretch(1)
        before = column[-1]
        for button in self.buttons:
            QWidget.setTabOrder(before, button.native)
            before = button.native
        form.native.setMinimumWidth(_MIN_WIDTH)
        self.bar.native.setTextVisible(False)
        self.bar.visible = False
        self._form = form
        form.native_parent_changed.connect(self._on_parent)
        form.native.destroyed.connect(self.life.end)
        self._viewer.events.theme.connect(self._on_theme)
        for table in form.native.findChildren(QTableWidget):
            table.setTabKeyNavigation(False)  # else Tab never gets past it

    @property
    def is_running(self) -> bool:
        """Whether a job runs."""
        return self.life.job is not None

    def show(self, *, can_run: bool) -> None:
        """Enable the buttons that make sense."""
        self.run.enabled = can_run and not self.is_running
        self.cancel.enabled = self.is_running

    def say(self, text: str, *, is_error: bool = False) -> None:
        """Show a sentence."""
        self._soon.stop()
        self.message.say(text, self._error_colour() if is_error else None)

    def say_soon(self, text: str) -> None:
        """Show a sentence in a moment, unless there is another one by then."""
        if not self.message.text:
            self.say(text)
            return
        self._text_soon = text
        self._soon.start()

    def _say_now(self) -> None:
        if not self.life.is_over and not self.is_running:
            self.say(self._text_soon)

    def _on_theme(self, _: Any) -> None:
        if not self.life.is_over and self.message.is_error:
            self.message.say(self.message.text, self._error_colour())

    def _error_colour(self) -> str:
        from napari.utils.theme import get_theme

        red, green, blue = get_theme(self._viewer.theme).background.as_rgb_tuple()[:3]
        return "#ff7b72" if red + green + blue < 384 else "#b3261e"

    # The run

    def start(self, job: Job[Names], words: Callable[[Outcome[Names]], str]) -> None:
        """Start a job and follow it.

        Parameters
        ----------
        job : Job
            Not started yet.
        words : callable
            Returns what to say of how it ended, if it did not fail.
        """
        job.subscribe(self._on_job)
        try:
            job.start()
        except SOMAError as err:
            self.say(sentence_of(err), is_error=True)
            return
        self.life.job, self._words = job, words
        self.say("Starting…")
        self.bar.value = 0
        self.bar.visible = True
        self._on_run()

    def _cancel(self) -> None:
        job = self.life.job
        if job is None:
            return
        job.cancel()
        self.cancel.enabled = False
        if job.progress is None:
            # It waits for a server, and will stop before anything is written.
            job.unsubscribe(self._on_job)
            self._end("Cancelled; nothing was changed.")
        else:
            self.say("Stopping…")

    def _on_job(self, job: Job[Names]) -> None:
        if self.life.is_over:
            return
        outcome = job.outcome
        if outcome is None:
            self._show_progress(job)
        elif outcome.kind == "failed":
            self._end(outcome.message, is_error=True)
        else:
            self._end(self._words(outcome))

    def _show_progress(self, job: Job[Names]) -> None:
        """Show how far a job is, not too often: each time the whole window is drawn."""
        progress, now = job.progress, time.monotonic()
        if progress is None or job.is_cancelled or now < self._next_progress:
            return
        self._next_progress = now + _PROGRESS_S
        # Qt would draw a bar at once, and the sentence later
        self.bar.native.setUpdatesEnabled(False)
        self.bar.value = round(_PARTS * progress.fraction)
        if progress.total:
            self.say(job.pace.in_words(progress))
        self.bar.native.setUpdatesEnabled(True)

    def _end(self, message: str, *, is_error: bool = False) -> None:
        self.life.job = None
        self.bar.visible = False
        self.say(message, is_error=is_error)
        self._on_end()

    # The end

    def _on_parent(self, parent: Any) -> None:
        """Notice that the dock was closed, unless the form is put elsewhere at once."""
        from qtpy.QtCore import QTimer

        if parent is None:
            QTimer.singleShot(0, self._end_if_removed)

    def _end_if_removed(self) -> None:
        form = self._form
        if form is None or self.life.is_over or form.native.parent() is not None:
            return
        self.life.end()
        form.native.deleteLater()


def took(outcome: Outcome[Any]) -> str:
    """Return how long a job took, as text."""
    seconds = outcome.seconds
    return f"{seconds:.1f} s" if seconds < 60 else seconds_in_words(seconds)


class HasRunPart:
    """A form that says what its lower end says."""

    _part: RunPart

    @property
    def message(self) -> str:
        """What is said: what the plan takes, what is wrong, or how a run ended."""
        return self._part.message.text

    @property
    def is_message_error(self) -> bool:
        """Whether that is an error."""
        return self._part.message.is_error
