"""OverviewJobs: the background work for images on the screen that lack levels.

Runs the passes that fill overviews, one at a time and for visible layers only; moves
the progress bar; refreshes layers when there is more to see; undoes the lock of levels
that are too large to be shown whole.
"""

from __future__ import annotations

import functools
import math
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..engines import MAX_READ_BYTES, Display, DisplayChange, Progress
from ..errors import SOMAError
from ._contrast import find_contrast_limits
from ._notices import tell

if TYPE_CHECKING:
    from collections.abc import Generator

#: The least time between two refreshes of a layer, after a tile and after a block.
_TILE_PAUSE_S: Final = 0.1
_BLOCK_PAUSE_S: Final = 0.5
#: A refresh that takes long is followed by this many times its own time of rest.
_REST: Final = 4
_TICK_MS: Final = 50
#: Work ends within a block, a tenth of a second; a store that hangs is not waited for.
_CLOSE_S: Final = 2.0
#: Graphics cards take volumes of at least this side, the usual software one no more.
_MAX_VOLUME_SIDE: Final = 2048


#: Contrast limits that were found in a sample, to be renewed from the overview.
sampled_limits: weakref.WeakKeyDictionary[Display, tuple[float, float]] = (
    weakref.WeakKeyDictionary()
)


def display_of(layer: Any) -> Display | None:
    """Return the display whose levels a layer shows, None for other layers."""
    levels = getattr(layer, "data", None)
    if not getattr(layer, "multiscale", False) or not levels:
        return None
    level = levels[0]
    while level is not None:
        display = getattr(level, "display", None)
        if isinstance(display, Display):
            return display
        level = getattr(level, "level", None)
    return None


class _Entry:
    """What is known of one display on the screen."""

    def __init__(self) -> None:
        self.layers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self.changes: set[DisplayChange] = set()
        self.next_refresh = 0.0
        self.told: set[str] = set()
        self.listener: Any = None

    def tell_once(self, what: str, message: str) -> None:
        """Tell the user something about the display, unless that was told."""
        if what not in self.told:
            self.told.add(what)
            tell(message, "info" if what == "note" else "warning")


class OverviewJobs:
    """Does the background work for all layers on the screen.

    Everything but the pass itself and `_on_change` runs in the window's thread.
    """

    def __init__(self) -> None:
        from qtpy.QtCore import QTimer

        self._lock = threading.Lock()
        self._entries: dict[Display, _Entry] = {}
        self._display_of: weakref.WeakKeyDictionary[Any, Display] = (
            weakref.WeakKeyDictionary()
        )
        self._thread: threading.Thread | None = None
        self._filling: Display | None = None
        self._progress: Progress | None = None
        self._outcome: SOMAError | None = None
        self._bar: Any = None
        self._caller = _make_window_caller()
        self._timer = QTimer()
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self._tick)

    # Layers

    def attach(self, layer: Any) -> None:
        """Take care of a layer that shows a display."""
        display = display_of(layer)
        if display is None:
            return
        entry = self._entries.get(display)
        if entry is None:
            entry = self._entries[display] = _Entry()
            entry.listener = functools.partial(self._on_change, display)
            display.open()
            display.subscribe(entry.listener)
        entry.layers[layer] = entry.layers.get(layer, 0) + 1
        if entry.layers[layer] == 1:
            self._display_of[layer] = display
            layer.events.locked_data_level.connect(self._on_lock)
            layer.events.visible.connect(self._start)
            layer.events.data.connect(self._on_data)
            self._guard_lock(layer)
        self._start()

    def detach(self, layer: Any) -> None:
        """Stop taking care of a layer; with the last one, end the display's work."""
        display = self._display_of.get(layer)
        if display is None:
            return
        entry = self._entries[display]
        entry.layers[layer] -= 1
        if entry.layers[layer]:
            return
        del entry.layers[layer], self._display_of[layer]
        layer.events.locked_data_level.disconnect(self._on_lock)
        layer.events.visible.disconnect(self._start)
        layer.events.data.disconnect(self._on_data)
        if not entry.layers:
            del self._entries[display]
            display.unsubscribe(entry.listener)
            display.close(_CLOSE_S)
            if display is self._filling:
                self._finish()
            self._start()
        if not self._entries:
            self._timer.stop()

    def stop(self) -> None:
        """End all work."""
        for entry in list(self._entries.values()):
            for layer in list(entry.layers):
                entry.layers[layer] = 1
                self.detach(layer)

    def _on_data(self, event: Any) -> None:
        layer = event.source
        old = self._display_of.get(layer)
        if old is None or display_of(layer) is old:
            return
        count = self._entries[old].layers[layer]
        for change in (self.detach, self.attach):
            for _ in range(count):
                change(layer)

    def _on_lock(self, event: Any) -> None:
        self._guard_lock(event.source)

    def _guard_lock(self, layer: Any) -> None:
        """Undo the lock of a level that is too large to be shown whole."""
        display, level = self._display_of.get(layer), layer.locked_data_level
        if display is None or level is None:
            return
        if level >= display.finest_shown_whole():
            return
        self._entries[display].told.add("refused")
        if len(layer._slice_input.displayed) == 3:
            instead = display.finest_shown_whole(_MAX_VOLUME_SIDE)
            layer.locked_data_level = instead
            advice = f"Level {instead}, the finest that fits, is shown instead."
        else:
            layer.locked_data_level = None
            advice = "The level is chosen automatically: zoom in to see its pixels."
        size = math.prod(display.plans[level].shape) * display.dtype.itemsize
        tell(
            f"Level {level} of {layer.name!r} has {_in_words(size)}; a locked level is "
            f"shown whole, which is possible up to {_in_words(MAX_READ_BYTES)}. "
            f"{advice}",
            "warning",
        )

    # The pass

    def _start(self, _: Any = None) -> None:
        """Start the next pass, if there is one to start."""
        if self._thread is not None:
            return
        display = next(filter(self._is_wanted, self._entries), None)
        if display is None:
            return
        self._note(display)
        self._filling, self._outcome, self._progress = display, None, None
        self._thread = threading.Thread(
            target=self._fill,
            args=(display.fill(),),
            name="napari-msimage overview",
            daemon=True,
        )
        self._thread.start()
        self._timer.start()

    def _is_wanted(self, display: Display) -> bool:
        entry = self._entries[display]
        is_visible = any(layer.visible for layer in entry.layers)
        return display.needs_pass and is_visible and "failed" not in entry.told

    def _note(self, display: Display) -> None:
        """Tell that levels are missing, once for all channels of an image."""
        entries = [e for d, e in self._entries.items() if d.name == display.name]
        if any("note" in entry.told for entry in entries):
            return
        missing = "levels in between" if display.coarsest_is_stored else "small levels"
        self._entries[display].tell_once(
            "note",
            f"{display.name!r} has no {missing}. Temporary ones are being made in "
            "memory; until then the image fills in bit by bit. Layers > Data > Create "
            "levels makes them for good.",
        )

    def _fill(self, engine: Generator[Progress, None, bool]) -> None:
        """Run a pass, in its own thread."""
        try:
            for self._progress in engine:
                pass
        except SOMAError as err:
            self._outcome = err
        finally:
            engine.close()

    def _finish(self) -> None:
        """Clean up after a pass that came to its end or was closed."""
        thread, display = self._thread, self._filling
        if thread is None or display is None:
            return
        thread.join(_CLOSE_S)
        self._thread = self._filling = None
        self._close_bar()
        entry = self._entries.get(display)
        if entry is None:
            return
        if isinstance(self._outcome, SOMAError):
            entry.tell_once(
                "failed",
                f"Making small levels of {display.name!r} stopped: {self._outcome}",
            )
        elif display.needs_pass:
            entry.told.add("failed")  # a bug, told by the thread: do not try again
        else:
            for layer in list(entry.layers):
                _renew_contrast_limits(layer, display)
                layer.refresh(extent=False, highlight=False)

    # The screen

    def _on_change(self, display: Display, change: DisplayChange) -> None:
        """Note a change; in any thread."""
        with self._lock:
            entry = self._entries.get(display)
            if entry is None:
                return
            entry.changes.add(change)
        self._caller.call.emit(self._wake)

    def _wake(self) -> None:
        if self._entries and not self._timer.isActive():
            self._timer.start()

    def _tick(self) -> None:
        """Refresh what is due, move the bar, go on with the next pass."""
        if self._thread is not None and not self._thread.is_alive():
            self._finish()
            self._start()
        self._move_bar()
        for display, entry in list(self._entries.items()):
            if entry.changes and time.monotonic() >= entry.next_refresh:
                self._refresh(display, entry)
        is_quiet = not any(entry.changes for entry in self._entries.values())
        if is_quiet and self._thread is None:
            self._timer.stop()

    def _refresh(self, display: Display, entry: _Entry) -> None:
        with self._lock:
            changes, entry.changes = entry.changes, set()
        start = time.monotonic()
        for layer in list(entry.layers):
            # In 3D napari itself fails on a level that is too large, before it tells
            # of its lock; drawn again, it fails here.
            self._guard_lock(layer)
            if layer.visible and any(
                display.shows(layer.data_level, c) for c in changes
            ):
                layer.refresh(extent=False, highlight=False)
        for change in changes:
            self._tell_of(display, entry, change)
        is_tile = any(change.kind == "made" for change in changes)
        now = time.monotonic()
        pause = _TILE_PAUSE_S if is_tile else _BLOCK_PAUSE_S
        entry.next_refresh = now + max(pause, _REST * (now - start))

    def _tell_of(self, display: Display, entry: _Entry, change: DisplayChange) -> None:
        if change.kind == "failed":
            entry.tell_once(
                "tile", f"A part of {display.name!r} cannot be shown: {change.error}"
            )
        elif change.kind == "refused":
            entry.tell_once(
                "refused",
                f"{display.name!r} cannot be shown this way: it would take "
                f"{_in_words(change.nbytes)} of level {change.level} at once. Zoom in, "
                "or out.",
            )

    def _move_bar(self) -> None:
        from napari.utils import progress

        state, display = self._progress, self._filling
        if state is None or display is None:
            return
        if self._bar is None:
            self._bar = progress(total=state.total, desc=f"Overview of {display.name}")
        self._bar.total = state.total
        self._bar.update(state.done - self._bar.n)

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self._progress = None


def _renew_contrast_limits(layer: Any, display: Display) -> None:
    """Set contrast limits from the finished overview, if they came from a sample."""
    sampled = sampled_limits.get(display)
    if sampled is not None and tuple(layer.contrast_limits) == sampled:
        layer.contrast_limits = find_contrast_limits(np.asarray(display.levels[-1]))


def _in_words(nbytes: float) -> str:
    if nbytes >= 2**30:
        return f"{nbytes / 2**30:.1f} GiB"
    return f"{nbytes / 2**20:.0f} MiB"


def _make_window_caller() -> Any:
    """Return an object whose ``call`` signal calls functions in this thread."""
    from qtpy import QtCore

    class Caller(QtCore.QObject):
        call = QtCore.Signal(object)  # type: ignore[attr-defined]

        def do(self, function: Any) -> None:
            function()

    caller = Caller()
    caller.call.connect(caller.do)
    return caller
