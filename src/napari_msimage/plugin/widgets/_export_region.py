"""The "Export region" form: which part of which image, how, where to, and the run."""

from __future__ import annotations

import contextlib
import functools
import os
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from magicgui.widgets import Container, PushButton, Widget

from .._export_settings import keep_layer_settings, load_settings
from .._export_wish import SELECTED
from ._export_opened import open_results
from ._export_planning import ExportPlanning
from ._export_results import (
    add_regions,
    keep_settings,
    may_replace,
    show_in_folder,
    words_of,
)
from ._export_run import ExportRun
from ._jobs import Job, Outcome
from ._region_fields import order_tabs
from ._run_part import Names

if TYPE_CHECKING:
    from ...engines import ExportPlan
    from .._export_preview import ExportPreview

_TITLE: Final = "Export region"
#: Still leaves most of a small window to the canvas.
_MIN_WIDTH: Final = 300


class ExportRegion(ExportPlanning):
    """Exports what is seen or drawn in a viewer, at a level of choice.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Whose layers and view are exported.
    """

    def __init__(self, napari_viewer: Any) -> None:
        # widgets get the viewer behind a proxy that warns of private attributes
        viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._exported: tuple[Any, ...] = ()
        self._written: ExportPlan | None = None
        super().__init__(
            viewer,
            load_settings(),
            run_tooltip="Export the region",
            cancel_tooltip="Stop within a second; no partial file is left behind",
        )
        self._lay_out()
        self._connect()
        self._on_layers()

    # Widgets

    def _lay_out(self) -> None:
        """Put the fields and the table in a column, and the rest below it."""
        self.run, self.cancel = self._part.run, self._part.cancel
        self.bar = self._part.bar
        self.open_result = PushButton(
            text="Open result", tooltip="Open what was exported in this viewer"
        )
        self.show_folder = PushButton(
            text="Show in folder", tooltip="Show the file in the file manager"
        )
        self._results: Container[Widget] = Container(
            widgets=[self.open_result, self.show_folder],
            layout="horizontal",
            labels=False,
        )
        self._results.margins = (0, 0, 0, 0)
        self.append(self._results)
        column = [
            self._top.native,
            self._channels_row,
            self._middle.native,
            self.table.native,
            self._bottom.native,
        ]
        self._part.lay_out(self, column, self._notes)
        order_tabs(self.outline, *self._results, *self._part.buttons)
        self.native.setMinimumWidth(_MIN_WIDTH)
        self._show_notes(())
        self.show_what_applies()

    def _connect(self) -> None:
        self._follow()
        self.run.changed.connect(self._start)
        self.open_result.changed.connect(self._open_result)
        self.show_folder.changed.connect(self._show_folder)
        form = weakref.ref(self)

        def end(_: Any = None) -> None:
            if (here := form()) is not None:
                here.end()

        self.native.destroyed.connect(end)
        self.native_parent_changed.connect(self._on_parent)

    def _on_parent(self, parent: Any) -> None:
        """Take the outline away when the dock is closed."""
        from qtpy.QtCore import QTimer

        if parent is None:
            QTimer.singleShot(0, self._end_if_over)

    def _end_if_over(self) -> None:
        if self._life.is_over:
            self.end()

    def end(self) -> None:
        """Stop listening, take the outline off the canvas, and let go of images."""
        self._life.end()
        with contextlib.suppress(RuntimeError):  # Qt has deleted it at the end
            self._throttle.stop()
        self._watch.close()
        self._outline.close()
        self._preview = self._shown = self._written = None
        self._choices = []

    # The run

    def _update_buttons(self) -> None:
        preview, is_running = self._preview, self._part.is_running
        self._part.show(can_run=preview is not None and preview.can_run)
        for part in (self._top, self._middle, self._bottom):
            part.enabled = not is_running
        self._channels_row.setEnabled(not is_running)
        self._results.visible = self._written is not None and not is_running

    def _start(self) -> None:
        preview = self._preview
        if preview is None or self._part.is_running:
            return
        if self.is_planning:  # the view has moved a moment ago
            self._runs_next = True
            self._throttle.stop()
            self._plan_softly()
            return
        if not preview.can_run:
            return
        self._folder = keep_settings(preview, self._folder)
        source = self._source
        preview_layers = source.layers if source is not None else ()
        if preview_layers:
            wish = preview.wish
            keep_layer_settings(preview_layers, wish.channel_axis, wish.channels)
        if preview.plan is None:
            self._add_layers(preview)
            return
        if preview.existing and not may_replace(self.native, preview.existing):
            return
        path = preview.plan.files[0].path
        run = ExportRun(preview)
        job = Job(
            run.engine,
            subject=path,
            busy=f"An export to {path!r} is running already. Wait until it is done, or "
            "choose another name.",
        )
        self._written, self._changed = None, []
        self._exported = preview_layers
        self._part.start(job, functools.partial(self._words_of, run))

    def _add_layers(self, preview: ExportPreview) -> None:
        with self._adding():
            added = add_regions(self._viewer, preview)
        names = ", ".join(repr(layer.name) for layer in added[:3])
        more = f" and {len(added) - 3} more" if len(added) > 3 else ""
        self._tell_user(f"Added {names}{more}.")

    def _words_of(self, run: ExportRun, outcome: Outcome[Names]) -> str:
        """Return how a run ended, in words; keep its result."""
        if outcome.kind == "done":
            self._written = run.plan
            self._proposed = self.destination.value.strip()
        there = self._viewer.layers
        removed = [layer.name for layer in self._exported if layer not in there]
        self._exported = ()
        return words_of(run, outcome, self._changed, removed)

    def _on_end(self) -> None:
        """Look at the layers again, which may have changed during the run."""
        self._is_told, self._told_beside = True, None
        self._on_layers()

    def _open_result(self) -> None:
        if self._written is not None:
            open_results(self._viewer, self._written, self._add_opened, self._say_error)

    def _add_opened(self, add: Callable[[], object]) -> None:
        if not self._life.is_over:
            with self._adding():
                add()

    @contextlib.contextmanager
    def _adding(self) -> Iterator[None]:
        """Add layers in a block; the image that is exported stays chosen."""
        selection = self._viewer.layers.selection
        before = set(selection) if self.image.value == SELECTED else None
        self._is_adding = True
        try:
            yield
            if before is not None:
                selection.intersection_update(before)
                selection.update(before)
        finally:
            self._is_adding = False
            self._on_layers()

    def _say_error(self, text: str) -> None:
        if not self._life.is_over:
            self._say(text, is_error=True)

    def _show_folder(self) -> None:
        if self._written is not None:
            path = self._written.files[0].path
            if not show_in_folder(path):
                folder = os.path.dirname(path)
                self._say_error(f"No file manager could be opened; see {folder!r}.")
