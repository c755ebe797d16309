"""The "Export region" form: which part of which image, how, where to, and the run."""

from __future__ import annotations

import contextlib
import functools
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from magicgui.widgets import Container, PushButton, Widget

from .._export_settings import keep_layer_settings, load_settings
from .._export_wish import SELECTED, SourceChoice, source_of_layer, sources_in
from ._export_choices import ExportChoices
from ._export_opened import open_results
from ._export_overlay import ExportOutline, follow_visibility
from ._export_results import (
    add_regions,
    keep_settings,
    may_replace,
    plan_in_words,
    show_in_folder,
    words_of,
)
from ._export_run import ExportRun
from ._export_table import ExportTable, unit_in_words
from ._export_tasks import preview_of, warm_up
from ._export_watch import ExportWatch
from ._jobs import Job, Outcome, sentence_of
from ._parts import Message
from ._region_fields import order_tabs
from ._run_part import Names, RunPart

if TYPE_CHECKING:
    from ...engines import ExportPlan
    from .._export_preview import ExportPreview, ExportSnapshot

_TITLE: Final = "Export region"
#: A view that moves is planned this often; longer than questions wait for newer ones.
_VIEW_MS: Final = 200
#: Still leaves most of a small window to the canvas.
_MIN_WIDTH: Final = 300


class ExportRegion(ExportChoices):
    """Exports what is seen or drawn in a viewer, at a level of choice.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Whose layers and view are exported.
    """

    def __init__(self, napari_viewer: Any) -> None:
        # widgets get the viewer behind a proxy that warns of private attributes
        viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._is_hidden = True  # until it is shown
        self._is_ready = self._runs_next = self._has_moved = False
        self._n_changes = self._n_asked = self._n_answered = 0
        self._is_adding = self._is_told = self._needs_bounds = False
        self._told_beside: Any = None
        self._changed: list[str] = []
        self._exported: tuple[Any, ...] = ()
        self._written: ExportPlan | None = None
        self._part = RunPart(
            viewer,
            on_answer=self._on_answer,
            on_run=self._update_buttons,
            on_end=self._on_end,
            run_tooltip="Export the region",
            cancel_tooltip="Stop within a second; no partial file is left behind",
        )
        self._life, self._say = self._part.life, self._part.say
        super().__init__(viewer, load_settings(), self._plan_again, self._on_region)
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
        self.table = ExportTable(self._on_level_clicked)
        self._notes = Message()
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
        self._outline = ExportOutline(self._viewer)
        self.show_what_applies()

    def _connect(self) -> None:
        from qtpy.QtCore import QTimer

        self._throttle = QTimer()
        self._throttle.setSingleShot(True)
        self._throttle.setInterval(_VIEW_MS)
        self._throttle.timeout.connect(self._plan_softly)
        self.image.changed.connect(self._on_image)
        self.outline.changed.connect(self._show_outline)
        self.run.changed.connect(self._start)
        self.open_result.changed.connect(self._open_result)
        self.show_folder.changed.connect(self._show_folder)
        self._watch = ExportWatch(
            self._viewer,
            on_camera=self._on_camera,
            on_view=self._on_view,
            on_layers=self._on_layers,
            on_selection=self._on_selection,
            on_image=self._on_view,
            on_look=self._on_look,
            on_pixels=self._on_pixels,
        )
        form = weakref.ref(self)

        def end(_: Any = None) -> None:
            if (here := form()) is not None:
                here.end()

        self.native.destroyed.connect(end)
        self.native_parent_changed.connect(self._on_parent)
        follow_visibility(self.native, self._on_visible)

    def _on_visible(self, is_visible: bool) -> None:
        """Draw nothing for a form that cannot be seen; catch up once it can."""
        if self._life.is_over or self._is_hidden != is_visible:
            return
        self._is_hidden = not is_visible
        self._show_outline()
        if is_visible:
            self._on_view()

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

    def _show_notes(self, notes: Sequence[str]) -> None:
        self._notes.say("\n".join(notes), None)
        self._notes.native.setVisible(bool(notes))

    @property
    def is_running(self) -> bool:
        """Whether an export runs."""
        return self._part.is_running

    @property
    def is_planning(self) -> bool:
        """Whether anything has changed since what is shown was planned."""
        has_changed = self._n_answered != self._n_changes
        return has_changed or (self._has_moved and self._is_other_level())

    @property
    def message(self) -> str:
        """What is said: what the plan takes, what is wrong, or how a run ended."""
        return self._part.message.text

    @property
    def is_message_error(self) -> bool:
        """Whether that is an error."""
        return self._part.message.is_error

    @property
    def notes(self) -> str:
        """What the user should know before the run, a line each."""
        return self._notes.text

    # The image

    def _on_layers(self) -> None:
        """Offer the layers that are open; keep the chosen one, or take the selected."""
        if self._life.is_over or self._is_adding:
            return
        before, name = self.image.value, self._name_of_source()
        viewer = self._viewer
        self._choices = sources_in(viewer.layers, viewer.layers.selection)
        keys = [choice.key for choice in self._choices]
        is_gone = before is not None and before not in keys
        after = before if before in keys else self._selected_key()
        with self.image.changed.blocked():
            self.image.native.clear()  # else magicgui puts new choices last
            self.image.reset_choices()
            self.image.value = after
        self.place.offer_shapes(
            [layer for layer in viewer.layers if layer._type_string == "shapes"]
        )
        if is_gone and before != SELECTED and not self._part.is_running:
            self._tell_user(f"{name!r} was removed.")
        keeps = is_gone or (self._is_told and before == after)
        self._on_image(keep_message=keeps)

    def _on_selection(self) -> None:
        """Follow the selected layer; a Shapes layer is where regions are drawn."""
        if self._life.is_over or self._part.is_running or self._is_adding:
            return
        before = [(c.key, c.layers) for c in self._choices]
        viewer = self._viewer
        choices = sources_in(viewer.layers, viewer.layers.selection)
        active = viewer.layers.selection.active
        found = source_of_layer(choices, active) if active is not None else None
        if [(c.key, c.layers) for c in choices] != before:
            self._on_layers()
        if active is not None and active._type_string == "shapes":
            if active is not self.place.shapes_layer:
                self.place.choose_shapes(active)
                if self.place.is_drawn:
                    self._on_image()
        elif found is not None and found.key != self.image.value:
            self.image.value = found.key

    def _on_image(self, _: Any = None, *, keep_message: bool = False) -> None:
        """Fill in what depends on the image."""
        from ._save_choices import channel_choices

        source = self._source
        layers = list(source.layers) if source is not None else []
        if self._shown is not None and self._shown_key != self.image.value:
            self._shown = None
            self._needs_bounds = self.place.is_typed
        axes = channel_choices(layers) if len(layers) == 1 else []
        offered = [("none: all are spatial", None)]
        offered += [one for one in axes if isinstance(one[1], int)]
        self.offer("axis", self.channel_axis, offered)
        shapes = self.place.shapes_layer if self.place.is_drawn else None
        self._watch.watch(layers, shapes)
        self.image.native.setToolTip(
            ", ".join(layer.name for layer in layers) or self.image.tooltip or ""
        )
        self._propose_destination()
        self.show_what_applies()
        self._plan_again(keep_message=keep_message)

    # The region

    def _on_region(self) -> None:
        """Fill in bounds of what was chosen before, and show other fields."""
        self._needs_bounds = self.place.is_typed
        if self._shown is not None:
            self._fill_bounds(self._shown)
            self._show_planes(self._shown)
            self._needs_bounds = False
        self._on_image()

    def _on_level_clicked(self, index: int) -> None:
        self.level.value = index

    # The plan

    def _on_camera(self) -> None:
        if self.place.region.value == "view":
            self._on_view()
        elif self.level.value == "screen":
            self._has_moved = True
            self._look_soon()

    def _on_view(self) -> None:
        """Plan again soon, as often as the window can take it."""
        self._n_changes += 1
        self._look_soon()

    def _look_soon(self) -> None:
        if self._life.is_over or self._part.is_running or self._is_hidden:
            return  # a hidden form catches up when it is shown again
        if not self._throttle.isActive():
            self._throttle.start()

    def _on_look(self) -> None:
        if self.colors.value:
            self._on_view()

    def _on_pixels(self, layer: Any) -> None:
        """Note that a layer was changed while it is being exported."""
        if self._part.is_running and layer.name not in self._changed:
            self._changed.append(layer.name)

    def _plan_softly(self) -> None:
        """Plan what has changed; what was planned before stays shown until then."""
        if self._life.is_over or self._part.is_running:
            return
        if self._has_moved and self._is_other_level():
            self._n_changes += 1
        self._has_moved = False
        if self._n_asked == self._n_changes:
            return
        if self.place.is_drawn:
            self._propose_destination()
        self._ask(is_update=True)

    def _plan_again(self, _: Any = None, *, keep_message: bool = False) -> None:
        """Plan what is filled in now, a moment later and in another thread."""
        if self._life.is_over or self._part.is_running:
            return
        self._preview = None
        self._n_changes += 1
        self._is_told = self._is_told and keep_message
        self._update_buttons()
        self._ask()

    def _ask(self, *, is_update: bool = False) -> None:
        if not self._is_ready:
            self._life.questions.ask(warm_up)
            return
        source = self._source
        if source is None:
            self._preview = self._shown = None
            self._n_answered = self._n_asked = self._n_changes
            self._life.questions.close()
            self._show(None)
            if not self._is_told:
                self._say("Open an image first; regions of it can be exported then.")
            return
        if not self.message:
            self._say("Looking at the image…")
        self._n_asked, self._has_moved = self._n_changes, False
        snapshot = self._snapshot(source)
        question = functools.partial(preview_of, snapshot)
        self._life.questions.ask(question, is_update=is_update)

    def _snapshot(self, source: SourceChoice) -> ExportSnapshot:
        from .._export_preview import take_snapshot

        shapes = self.place.shapes_layer
        return take_snapshot(self._viewer, source.layers, shapes, self.wish)

    def _on_answer(self, answer: ExportPreview | str | Exception) -> None:
        if self._life.is_over or self._part.is_running:
            return
        if isinstance(answer, str):
            self._on_ready()
            return
        is_newest = not self._life.questions.is_waiting
        if is_newest:
            self._n_answered = self._n_asked
        if isinstance(answer, Exception):
            self._runs_next = self._is_told = False
            self._show(None)
            self._say(sentence_of(answer), is_error=True)
            return
        self._preview = answer
        if self._needs_bounds and answer.layer is not None:
            self._needs_bounds = False
            self._fill_bounds(answer)
        self._show(answer)
        if is_newest and self.wish != answer.wish:
            # this image has other levels, axes or channels
            self._plan_again(keep_message=True)
            return
        self._say_plan(answer)
        self._update_buttons()
        if self._runs_next and not self.is_planning:
            self._runs_next = False
            self._start()

    def _say_plan(self, preview: ExportPreview) -> None:
        """Say what is planned, unless something was told, and it is planned still."""
        takes = preview.takes
        if self._told_beside is None:
            self._told_beside = takes
        if preview.error is not None or takes != self._told_beside:
            self._is_told = False
        if not self._is_told:
            self._say(plan_in_words(preview), is_error=preview.error is not None)

    def _tell_user(self, text: str) -> None:
        """Say what stays said as long as the next plan is the one that is shown."""
        self._say(text)
        self._is_told, self._told_beside = True, None

    def _on_ready(self) -> None:
        """Begin, once everything was imported."""
        self._is_ready = True
        self._plan_again(keep_message=True)

    def _show(self, preview: ExportPreview | None) -> None:
        """Show what was planned: levels, channels, notes, outline."""
        layer = preview.layer if preview is not None else None
        if preview is None or layer is None:
            self.table.show([])
            self._show_notes(())
            self._outline.show(None)
            return
        source = layer.source
        self._shown, self._shown_key = preview, self.image.value
        self.offer_levels(source.keys)
        self.level_unit.value = unit_in_words(self.level.value, source.units)
        self.allow_clear(preview.clear_formats)
        self._show_planes(preview)
        self._show_channels(preview)
        self.table.show(preview.rows, preview.level, source.units)
        self.table.name_axes(source.spatial_names if preview.rows else ())
        self._show_notes(preview.notes)
        self._show_outline()
        self.show_what_applies(is_outlined=self.is_outlined)

    def _show_outline(self, _: Any = None) -> None:
        """Draw what will be exported, if that is wanted."""
        preview, is_over = self._preview, self._life.is_over or self._is_hidden
        is_shown = bool(self.outline.value) and not is_over and preview is not None
        self._outline.show(preview.segments if preview and is_shown else None)

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
