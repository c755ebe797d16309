"""The "Save as SOMA image" form: which layers, where to and how, a preview, the run."""

from __future__ import annotations

import functools
import threading
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, Final

from magicgui.widgets import PushButton

from .._open import OpenRequest, request_of
from .._save_wish import LayerParts, SaveWish, parts_of_layer
from ._jobs import Job, Outcome, sentence_of
from ._layer_list import is_saved
from ._level_table import LevelTable, rows_of_store
from ._parts import Message, collapsible, confirm
from ._run_part import HasRunPart, Names, RunPart
from ._save_choices import channel_choices, level_choices
from ._save_fields import SaveFields
from ._save_place import free_place, last_folder, pick_place, remember_folder_of
from ._save_words import end_in_words, layers_in_words, plan_in_words, questions_of

if TYPE_CHECKING:
    from ...engines import Progress
    from .._save_preview import SavePreview
    from .._write_watch import LayerWatch

_TITLE: Final = "Save as SOMA image"
#: What the preview depends on.
_PLAN_EVENTS: Final = (
    "data",
    "scale",
    "translate",
    "rotate",
    "shear",
    "affine",
    "units",
    "axis_labels",
    "locked_data_level",
)
_TABLE_HELP: Final = (
    "The levels that will be saved: those that the layers have, and those to be made. "
    "Sizes are those of all pixels, uncompressed: the most a level can take."
)


class SaveAs(HasRunPart, SaveFields):
    """Saves layers of a viewer as a SOMA multiscale image, or as a scene of them.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Whose layers can be saved.
    """

    def __init__(self, napari_viewer: Any) -> None:
        self._viewer = napari_viewer
        self._preview: SavePreview | None = None
        self._keeps_message = False
        self._is_picked = False
        self._watched: list[Any] = []
        self._first: Any = None
        self._saved: Any = None
        self._folder = ""
        self._proposed = ""
        self._result = ""
        self._part = RunPart(
            napari_viewer,
            on_answer=self._on_answer,
            on_run=self._update_buttons,
            on_end=self._on_end,
            run_tooltip="Save the layers",
            cancel_tooltip="Stop within a second; nothing is left behind",
        )
        self._life, self._say = self._part.life, self._part.say
        super().__init__(self._on_picked, self._plan_again)
        self._lay_out()
        self._connect()
        threading.Thread(target=_warm_up, name="napari-msimage imports").start()
        self._on_layers()

    # Widgets

    def _lay_out(self) -> None:
        """Put the fields and the table in a column, and the rest below it."""
        self.run, self.cancel = self._part.run, self._part.cancel
        self.bar = self._part.bar
        self.open_result = PushButton(
            text="Open result", tooltip="Open what was saved in this viewer"
        )
        self._part.buttons.append(self.open_result)
        self.table = LevelTable(has_tiles=True, tooltip=_TABLE_HELP)
        self._notes = Message()
        self.table.native.setTextElideMode(self.layers.native.textElideMode())
        more = self._advanced = collapsible("Advanced", self._more.native)
        more.toggleButton().setToolTip("Axis names, and how levels are made")
        column = [self._layers_row, self._form.native, more, self.table.native]
        self._part.lay_out(self, column, self._notes)
        self.open_result.visible = False
        self._show_notes(())

    def _connect(self) -> None:
        self.destination.changed.connect(self._on_destination)
        self.browse.changed.connect(self._browse)
        self.run.changed.connect(self._start)
        self.open_result.changed.connect(self._open_result)
        layers = self._viewer.layers
        layers.events.inserted.connect(self._on_layers)
        layers.events.removed.connect(self._on_layers)
        layers.events.reordered.connect(self._on_layers)
        layers.selection.events.changed.connect(self._on_selection)
        camera = getattr(self._viewer, "scene", self._viewer).camera
        camera.events.zoom.connect(self._on_zoom)

    def _show_notes(self, notes: Sequence[str]) -> None:
        self._notes.say("\n".join(notes), None)
        self._notes.native.setVisible(bool(notes))

    @property
    def notes(self) -> str:
        """What the user should know before the run, a line each."""
        return self._notes.text

    # The layers

    def _on_layers(self, _: Any = None) -> None:
        """Show the layers that are there; keep those that the user has checked."""
        if self._life.is_over:
            return
        self._watch()
        kept = [layer for layer in self.layers.checked if layer in self._watched]
        self._is_picked = self._is_picked and bool(kept)
        self._show_layers(kept if self._is_picked else self._selected())

    def _on_selection(self, _: Any = None) -> None:
        """Follow the selection, unless the user has checked layers by hand."""
        if self._life.is_over or self._is_picked:
            return
        if list(self._viewer.layers) == self._watched:  # else there is more to come
            self._show_layers(self._selected())

    def _on_picked(self) -> None:
        self._is_picked = True
        self._on_checked()

    def _selected(self) -> list[Any]:
        """Return the selected layers that can be saved, or the only one there is."""
        there = [layer for layer in self._viewer.layers if is_saved(layer)]
        chosen = [layer for layer in there if layer in self._viewer.layers.selection]
        is_clear = len(there) == 1 and not self._viewer.layers.selection
        return there if is_clear else chosen

    def _left_out(self) -> list[Any]:
        """Return the selected layers that cannot be saved."""
        if self._is_picked:
            return []
        selection = self._viewer.layers.selection
        return [x for x in self._viewer.layers if x in selection and not is_saved(x)]

    def _show_layers(self, checked: list[Any]) -> None:
        self.layers.show(list(self._viewer.layers), checked)
        self._on_checked()

    def _on_checked(self) -> None:
        """Fill in what depends on the checked layers."""
        checked = self.layers.checked
        first = checked[0] if checked else None
        if first is not self._first:
            self._first = first
            self.forget()
            if first is not None:
                self._propose_destination(first.name)
        self.offer_channels(channel_choices(checked))
        self.offer_levels(level_choices(checked))
        self._plan_again()

    def _watch(self) -> None:
        """Listen to the layers that are there, and to no others."""
        there = list(self._viewer.layers)
        for layer in self._watched:
            if layer not in there:
                self._listen(layer, is_there=False)
        for layer in there:
            if layer not in self._watched:
                self._listen(layer, is_there=True)
        self._watched = there

    def _listen(self, layer: Any, *, is_there: bool) -> None:
        listeners = (
            (_PLAN_EVENTS, self._on_layer),
            (("name",), self._on_name),
        )
        for names, listener in listeners:
            for name in names:
                event = getattr(layer.events, name, None)
                if event is not None:
                    (event.connect if is_there else event.disconnect)(listener)

    def _on_layer(self, event: Any) -> None:
        if not self._life.is_over and event.source in self.layers.checked:
            self._on_checked()

    def _on_name(self, event: Any) -> None:
        if self._life.is_over:
            return
        self.layers.show(list(self._viewer.layers), self.layers.checked)
        if event.source is self._first:
            self._propose_destination(event.source.name)
        self._plan_again()

    def _on_zoom(self, _: Any = None) -> None:
        if self.levels.value == "current":
            self._plan_again(keep_message=bool(self._result and self.message))

    # The destination

    def _propose_destination(self, name: str) -> None:
        """Fill in a free place named like a layer, unless somebody has typed one."""
        is_typed = self.wish.destination not in ("", self._proposed)
        if self._part.is_running or is_typed:
            return
        self._proposed = free_place(self._folder or last_folder(), name)
        self._is_filling = True
        self.destination.value = self._proposed
        self.replace.value = False
        self._is_filling = False

    def _on_destination(self, _: Any = None) -> None:
        """Ask anew whether what is there is to be replaced."""
        if not self._is_filling:
            self._is_filling = True
            self.replace.value = False
            self._is_filling = False

    def _browse(self) -> None:
        before = self.wish.destination
        if picked := pick_place(self.native, before, self._folder or last_folder()):
            self.destination.value = picked

    # The plan

    def _plan_again(self, _: Any = None, *, keep_message: bool = False) -> None:
        """Plan what is filled in now, a moment later and in another thread."""
        if self._life.is_over or self._part.is_running:
            return
        self._preview = None
        self._keeps_message = keep_message
        self._update_buttons()
        layers = self._snapshot()
        if not layers:
            self._life.questions.close()
            self.show_axes(None)
            self.table.show([])
            self._show_notes(())
            if not keep_message:
                self._say(
                    "Tick the layers to be saved in the list above."
                    if self.layers.layers
                    else "Open an image first; its layers can be saved then."
                )
            return
        if not keep_message:
            self._part.say_soon("Looking at the layers, and at where to save…")
        self._life.questions.ask(
            functools.partial(_preview, layers, self.wish, self._shown_uris())
        )

    def _snapshot(self) -> list[LayerParts]:
        """Return the layers as they are now, bottom to top; no pixels are copied."""
        chosen = [*self.layers.checked, *self._left_out()]
        return [parts_of_layer(x) for x in self._viewer.layers if x in chosen]

    def _shown_uris(self) -> dict[str, str]:
        """Return names of the layers that show SOMA images, by URI."""
        found = {}
        for layer in self._viewer.layers:
            if (request := request_of(layer)) is not None:
                found[request[1].uri] = layer.name
        return found

    def _on_answer(self, answer: SavePreview | Exception) -> None:
        if self._life.is_over or self._part.is_running:
            return
        if isinstance(answer, Exception):
            self.table.show([])
            if not self._keeps_message:
                self._say(sentence_of(answer), is_error=True)
            return
        self._preview = answer
        self.show_axes(answer.axes)
        self._show_plan(answer)
        self.replace.visible = answer.can_replace
        if not self._keeps_message:
            self._say_plan(answer)
        self._update_buttons()

    def _show_plan(self, preview: SavePreview) -> None:
        store = preview.store_plan
        self._show_notes(preview.notes)
        self.table.show(rows_of_store(store) if store is not None else [])
        if store is not None:
            self.show_more_levels(preview.makes_levels)
            orders = {image.axis_names for image in store.images.values()}
            self.table.name_axes(orders.pop() if len(orders) == 1 else ())

    def _say_plan(self, preview: SavePreview) -> None:
        if preview.error is not None:
            self._say(sentence_of(preview.error), is_error=True)
        else:
            self._say(plan_in_words(preview))

    # The run

    def _update_buttons(self) -> None:
        is_running = self._part.is_running
        self._part.show(can_run=self._preview is not None and self._preview.can_run)
        self._form.enabled = self._more.enabled = not is_running
        self._layers_row.setEnabled(not is_running)
        self.open_result.visible = bool(self._result) and not is_running

    def _start(self) -> None:
        preview = self._preview
        if preview is None or not preview.can_run or self._part.is_running:
            return
        if not self._may_run(preview):
            return
        if self._preview is not preview:
            self._say("The layers have changed; look at the table and run again.")
            return
        layers = [*map(_with_level_of, self._snapshot(), preview.layers)]
        job = Job(
            functools.partial(_engine, layers, preview.wish, self._make_watch()),
            subject=preview.address,
            busy=f"Layers are being saved to {preview.wish.destination!r} already. "
            "Wait until that is done, or choose another name.",
        )
        self._result, self._saved = "", self._first
        what = layers_in_words(layers)
        self._part.start(job, functools.partial(self._words_of, preview.wish, what))

    def _make_watch(self) -> LayerWatch:
        from .._write_watch import LayerWatch

        return LayerWatch(self.layers.checked, [self._viewer.layers])

    def _may_run(self, preview: SavePreview) -> bool:
        """Ask before something is replaced or left out."""
        if not (lines := questions_of(preview)):
            return True
        question, *details = lines
        action = "Replace" if preview.place == "soma" else "Save"
        return confirm(self.native, _TITLE, question, "\n".join(details), action)

    def _words_of(self, wish: SaveWish, what: str, outcome: Outcome[Names]) -> str:
        """Return how a run ended, in words; keep its result."""
        if outcome.kind == "done":
            (self._result,) = outcome.result or ("",)
            self._proposed = wish.destination
            self._folder = remember_folder_of(wish.destination)
        return end_in_words(wish, what, outcome)

    def _on_end(self) -> None:
        if self._first is not None and self._first is not self._saved:
            self._propose_destination(self._first.name)
        self._saved = None
        self._plan_again(keep_message=True)

    def _open_result(self) -> None:
        from .._commands import open_in_background

        if self._result:
            open_in_background(self._viewer, OpenRequest(self._result))


def _with_level_of(layer: LayerParts, before: LayerParts) -> LayerParts:
    """Return a layer, "current" meaning the same level as before."""
    data, attributes, kind = layer
    kept = {k: before[1][k] for k in ("data_level",) if k in before[1]}
    return data, {**attributes, **kept}, kind


def _preview(
    layers: list[LayerParts], wish: SaveWish, shown: dict[str, str]
) -> SavePreview:
    from .._save_preview import preview_save

    return preview_save(layers, wish, shown)


def _engine(
    layers: list[LayerParts], wish: SaveWish, watch: LayerWatch
) -> Generator[Progress, None, Names]:
    from .._save_plan import save_layers

    return save_layers(layers, wish, watch)


def _warm_up() -> None:
    """Import what a preview needs, before it does: imports stop the window."""
    from .. import _save_preview  # noqa: F401
