"""The planning of the "Export region" form: it follows layers, view and fields."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from .._export_settings import ExportSettings
from .._export_wish import SELECTED, SourceChoice, source_of_layer, sources_in
from ._export_choices import ExportChoices
from ._export_overlay import ExportOutline, follow_visibility
from ._export_results import plan_in_words
from ._export_table import ExportTable, unit_in_words
from ._export_tasks import preview_of, warm_up
from ._export_watch import ExportWatch
from ._jobs import sentence_of
from ._parts import Message
from ._run_part import HasRunPart, RunPart

if TYPE_CHECKING:
    from .._export_preview import ExportPreview, ExportSnapshot

#: A view that moves is planned this often; longer than questions wait for newer ones.
_VIEW_MS: Final = 200


class ExportPlanning(HasRunPart, ExportChoices):
    """Plans what is filled in whenever anything changes, and shows it.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers and view are exported.
    settings : ExportSettings
        Of the last export.
    run_tooltip, cancel_tooltip : str
        Of the buttons.
    """

    def __init__(
        self,
        viewer: Any,
        settings: ExportSettings,
        run_tooltip: str,
        cancel_tooltip: str,
    ) -> None:
        self._is_hidden = True  # until it is shown
        self._is_ready = self._runs_next = self._has_moved = False
        self._n_changes = self._n_asked = self._n_answered = 0
        self._is_adding = self._is_told = self._needs_bounds = False
        self._told_beside: Any = None
        self._changed: list[str] = []
        self._part = RunPart(
            viewer,
            on_answer=self._on_answer,
            on_run=self._update_buttons,
            on_end=self._on_end,
            run_tooltip=run_tooltip,
            cancel_tooltip=cancel_tooltip,
        )
        self._life, self._say = self._part.life, self._part.say
        super().__init__(viewer, settings, self._plan_again, self._on_region)
        self.table = ExportTable(self._on_level_clicked)
        self._notes = Message()
        self._outline = ExportOutline(viewer)

    def _follow(self) -> None:
        """Plan again when anything changes from now on."""
        from qtpy.QtCore import QTimer

        self._throttle = QTimer()
        self._throttle.setSingleShot(True)
        self._throttle.setInterval(_VIEW_MS)
        self._throttle.timeout.connect(self._plan_softly)
        self.image.changed.connect(self._on_image)
        self.outline.changed.connect(self._show_outline)
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
        follow_visibility(self.native, self._on_visible)

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
    def notes(self) -> str:
        """What the user should know before the run, a line each."""
        return self._notes.text

    def _on_visible(self, is_visible: bool) -> None:
        """Draw nothing for a form that cannot be seen; catch up once it can."""
        if self._life.is_over or self._is_hidden != is_visible:
            return
        self._is_hidden = not is_visible
        self._show_outline()
        if is_visible:
            self._on_view()

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

    def _show_notes(self, notes: Sequence[str]) -> None:
        self._notes.say("\n".join(notes), None)
        self._notes.native.setVisible(bool(notes))

    # What the form does

    def _update_buttons(self) -> None:
        """Enable what can be used now."""
        raise NotImplementedError

    def _start(self) -> None:
        """Export what is planned."""
        raise NotImplementedError

    def _on_end(self) -> None:
        """Take in how a run has ended."""
        raise NotImplementedError
