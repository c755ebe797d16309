"""Shows images that lack small levels: starts the overview, refreshes, cleans up.

For whoever makes layer tuples: pass a layer's levels (a `LevelArray` view per level,
axes in napari's order) through `make_display` and give napari its ``levels``::

    display = make_display(levels, rgb=layer.rgb, name=plan.name, n_sharing=n_layers)
    limits = starting_contrast_limits(display)      # unless the image has hints
    data = [LevelView(level, failures) for level in display.levels]

Nothing else is needed. A reader returns before its layers exist and never sees the
viewer; so `make_display` sees to it that the open viewers are watched. Each layer that
is inserted into one is asked for its display: the levels themselves know it, also
through wrappers that keep them in ``.level``. While at least one layer shows a
display, its missing levels are made in the background, for visible layers only; when
the last one goes, by removal, new data or closing, the work ends and its memory is
freed. `watch_viewer` does the same for a viewer that napari does not list.

Watching also guards locked levels: napari would read all of one at once.
"""

from __future__ import annotations

import atexit
import functools
import sys
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engines import Display, build_display
from ._contrast import find_contrast_limits
from ._display_jobs import OverviewJobs, display_of, sampled_limits
from ._keys import bind_keys
from ._layers import LAYER_METADATA_KEY
from ._look_arguments import set_late_attributes
from ._notices import has_window, is_window_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engines import LevelPixels

__all__ = [
    "display_of",
    "make_display",
    "starting_contrast_limits",
    "watch_open_viewers",
    "watch_viewer",
]


# For the reader --------------------------------------------------------------------


def make_display(
    levels: Sequence[LevelPixels],
    *,
    rgb: bool,
    name: str,
    n_sharing: int = 1,
    is_labels: bool = False,
) -> Display:
    """Return the levels to show of an image, and have the open viewers watched.

    Parameters
    ----------
    levels : sequence of LevelPixels
        The stored levels, finest first, axes in napari's order, colours last.
    rgb : bool
        Whether the last axis holds colours.
    name : str
        Name of the image, for messages.
    n_sharing : int
        How many layers the image becomes; they share the memory for overviews.
    is_labels : bool
        Whether pixels are labels, of which no means are made.

    Raises
    ------
    ArgumentError
        If the levels do not get smaller, or their axes or colours differ.
    """
    display = build_display(
        levels,
        rgb=rgb,
        is_labels=is_labels,
        name=name,
        n_sharing=n_sharing,
        is_viewer=_is_napari_asking,
    )
    watch_open_viewers()
    return display


def starting_contrast_limits(display: Display) -> tuple[float, float]:
    """Return contrast limits for a new layer, from its coarsest level.

    Where that level has yet to be made, they come from a small sample of the finer one
    and are set anew when it is complete, unless they were changed in between.
    """
    if not display.needs_pass or display.coarsest_is_stored:
        return find_contrast_limits(np.asarray(display.levels[-1]))
    limits = find_contrast_limits(display.sample())
    sampled_limits[display] = limits
    return limits


def _is_napari_asking() -> bool:
    """Tell whether napari is the first caller outside numpy and this package."""
    frame = sys._getframe(1)
    while frame is not None:
        room = frame.f_globals.get("__name__", "").partition(".")[0]
        if room not in ("numpy", "napari_msimage"):
            return bool(room == "napari")
        frame = frame.f_back  # type: ignore[assignment]
    return False


# Viewers ---------------------------------------------------------------------------


def watch_open_viewers() -> None:
    """Watch all viewers that have a window; nothing without any, or in a worker."""
    if not has_window() or not is_window_thread():
        return
    for viewer in open_viewers():
        watch_viewer(viewer)


def open_viewers() -> list[Any]:
    """Return all viewers that napari lists."""
    from napari.viewer import Viewer, current_viewer

    viewers = list(getattr(Viewer, "_instances", ()))
    current = current_viewer()
    if current is not None and current not in viewers:
        viewers.append(current)
    return viewers


def watch_viewer(viewer: Any) -> None:
    """Take care of our layers in a viewer, those there and those to come."""
    if viewer in _watchers:
        return
    bind_keys(viewer)
    _watchers[viewer] = watcher = _Watcher(viewer)
    for layer in viewer.layers:
        watcher.attach(layer)


def watch_new_display(layer: Any) -> None:
    """Take care of a layer that has come to show a display, and showed none before."""
    for viewer in open_viewers():
        if layer not in viewer.layers:
            continue
        if viewer in _watchers:
            _watchers[viewer].attach(layer)
        else:
            watch_viewer(viewer)


class _Watcher:
    """Tells the jobs which layers come and go in one viewer."""

    def __init__(self, viewer: Any) -> None:
        self._layers: weakref.WeakSet[Any] = weakref.WeakSet()
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        # A window that is closed by its button keeps its layers.
        window = getattr(getattr(viewer, "window", None), "_qt_window", None)
        if window is not None:
            window.destroyed.connect(self.detach_all)

    def _on_inserted(self, event: Any) -> None:
        set_late_attributes(event.value, LAYER_METADATA_KEY)
        self.attach(event.value)

    def _on_removed(self, event: Any) -> None:
        if event.value in self._layers:
            self._layers.remove(event.value)
            _jobs().detach(event.value)

    def attach(self, layer: Any) -> None:
        """Take care of a layer, if it is ours; without Qt, nobody could."""
        if has_window() and display_of(layer) is not None:
            self._layers.add(layer)
            _jobs().attach(layer)

    def detach_all(self, _: Any = None) -> None:
        """Stop taking care of this viewer's layers."""
        for layer in list(self._layers):
            _jobs().detach(layer)
        self._layers.clear()


_watchers: weakref.WeakKeyDictionary[Any, _Watcher] = weakref.WeakKeyDictionary()


@functools.cache
def _jobs() -> OverviewJobs:
    """Return the jobs of this process; they end before Qt does."""
    from qtpy.QtWidgets import QApplication

    jobs = OverviewJobs()
    app: Any = QApplication.instance()
    app.aboutToQuit.connect(jobs.stop)
    atexit.register(jobs.stop)
    return jobs
