"""The "Create levels" form: what to make of which image, a preview, and the run."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, Final

from .._level_wish import preview_levels
from .._new_levels import (
    OpenImage,
    facts_of_layers,
    image_at,
    image_of_layer,
    images_in,
    make_levels,
    show_present_levels,
)
from ._jobs import Job, Outcome, sentence_of
from ._level_fields import LevelFields
from ._level_table import LevelTable, rows_of
from ._parts import collapsible
from ._run_part import HasRunPart, Names, RunPart, took

if TYPE_CHECKING:
    from .._level_wish import Preview

#: The last choice of the images.
_OTHER: Final = "other"


class CreateLevels(HasRunPart, LevelFields):
    """Makes levels that an image lacks.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Whose layers can be chosen.
    """

    def __init__(self, napari_viewer: Any) -> None:
        self._viewer = napari_viewer
        self._preview: Preview | None = None
        self._keeps_message = False
        self._part = RunPart(
            napari_viewer,
            on_answer=self._on_answer,
            on_run=self._update_buttons,
            on_end=self._on_end,
            run_tooltip="Make the levels",
            cancel_tooltip="Stop within a second; the image stays as it was",
        )
        self._life, self._say = self._part.life, self._part.say
        super().__init__(self._image_choices, self._plan_again)
        self._lay_out()
        self._connect()
        with self.image.changed.blocked():
            self.image.value = self._selected_image() or self.image.value
        self._show_image()
        threading.Thread(target=_warm_up, name="napari-msimage imports").start()
        self._plan_again()

    # Widgets

    def _lay_out(self) -> None:
        """Put the fields and the table in a column, and the rest below it."""
        self.run, self.cancel = self._part.run, self._part.cancel
        self.bar = self._part.bar
        self.table = LevelTable()
        advanced = collapsible("Advanced", self._more.native)
        self._part.lay_out(self, [self._form.native, advanced, self.table.native])

    def _connect(self) -> None:
        self.image.changed.connect(self._on_image)
        self.scheduler.changed.connect(_warm_up_dask)
        self.browse.changed.connect(self._browse)
        self.run.changed.connect(self._start)
        layers = self._viewer.layers
        layers.events.inserted.connect(self._on_layers)
        layers.events.removed.connect(self._on_layers)
        layers.selection.events.active.connect(self._on_active)

    # The image

    def _on_layers(self, _: Any = None) -> None:
        if not self._life.is_over:
            self._update_choices()

    def _image_choices(self, _: Any = None) -> list[tuple[str, Any]]:
        images = images_in(self._viewer.layers)
        names = [image.name for image in images]
        choices: list[tuple[str, Any]] = [
            (image.name if names.count(image.name) == 1 else image.address, image)
            for image in images
        ]
        return [*choices, ("Folder or URI…", _OTHER)]

    def _update_choices(self) -> None:
        """Offer the images that are open; keep the chosen one, or take the selected."""
        before = self.image.value
        images = images_in(self._viewer.layers)
        with self.image.changed.blocked():
            self.image.native.clear()  # else magicgui puts new choices last
            self.image.reset_choices()
            after = _kept(before, images)
            if after is None or (after == _OTHER and not self.address.value.strip()):
                after = self._selected_image() or (images[0] if images else _OTHER)
            self.image.value = after
        is_gone = isinstance(before, OpenImage) and after != before
        if is_gone and self._life.job is None:
            self._say(f"{before.name!r} was closed.")
        if after != before:
            self._on_image(keep_message=is_gone)
        else:
            self._show_image()

    def _selected_image(self) -> OpenImage | None:
        active = self._viewer.layers.selection.active
        image = image_of_layer(active) if active is not None else None
        kept: OpenImage | None = _kept(image, images_in(self._viewer.layers))
        return kept

    def _on_active(self, _: Any = None) -> None:
        """Follow the selected layer, unless an address is being filled in."""
        if self._life.is_over or self._life.job or self.image.value == _OTHER:
            return
        image = self._selected_image()
        if image is not None and image != self.image.value:
            self._update_choices()
            self.image.value = image

    def _on_image(self, _: Any = None, *, keep_message: bool = False) -> None:
        self._show_image()
        self._plan_again(keep_message=keep_message)

    def _show_image(self) -> None:
        image = self.image.value
        self._address_row.visible = image == _OTHER
        where = image.address if isinstance(image, OpenImage) else ""
        self.image.native.setToolTip(where or self.image.tooltip or "")

    def _browse(self) -> None:
        from qtpy.QtWidgets import QFileDialog

        start = self.address.value.strip()
        if folder := QFileDialog.getExistingDirectory(
            self.native, "Image folder", start
        ):
            self.address.value = folder

    def _chosen_image(self) -> OpenImage | None:
        if isinstance(self.image.value, OpenImage):
            return self.image.value
        return image_at(self.address.value) if self.address.value.strip() else None

    # The plan

    def _plan_again(self, _: Any = None, *, keep_message: bool = False) -> None:
        """Plan what is filled in now, a moment later and in another thread."""
        if self._life.is_over:
            return
        self._preview = None
        self._keeps_message = keep_message
        self._update_buttons()
        image = self._chosen_image()
        if image is None:
            self._life.questions.close()
            self.table.show([])
            if not keep_message:
                self._say("Open a SOMA image, or enter the address of one.")
            return
        if not keep_message and not self.message:
            self._say("Looking at the image…")
        self._life.questions.ask(functools.partial(preview_levels, image, self.wish))

    def _on_answer(self, answer: Preview | Exception) -> None:
        if self._life.is_over:
            return
        if isinstance(answer, Exception):
            self.table.show([])
            if not self._keeps_message:
                self._say(sentence_of(answer), is_error=True)
            return
        self._preview = answer
        self._show_steps(answer.axis_names)
        self.table.show(rows_of(answer.existing, answer.itemsize, answer.plan))
        self.table.name_axes(answer.data_axis_order)
        if not self._keeps_message:
            self._say_plan(answer)
        self._update_buttons()

    def _say_plan(self, preview: Preview) -> None:
        from ...engines import bytes_in_words

        plan = preview.plan
        if preview.error is not None:
            self._say(sentence_of(preview.error), is_error=True)
        elif plan:
            self._say(
                f"At most {bytes_in_words(plan.nbytes)} on disk, about "
                f"{bytes_in_words(plan.peak_bytes)} of memory."
            )
        else:
            key, shape = preview.existing[-1]
            self._say(
                f"{preview.image.name!r} lacks no level: its coarsest, {key!r}, is "
                f"{' x '.join(map(str, shape))}. Choose fewer pixels for the longest "
                "side, or a number of levels."
            )

    # The run

    def _update_buttons(self) -> None:
        plan = self._preview.plan if self._preview is not None else None
        self._part.show(can_run=bool(plan))
        self._form.enabled = self._more.enabled = not self._part.is_running

    def _start(self) -> None:
        preview = self._preview
        if preview is None or not preview.plan or self._part.is_running:
            return
        image = preview.image
        client = self.scheduler.value.strip() or None
        facts = facts_of_layers(image.address)
        job = Job(
            functools.partial(make_levels, image, preview.plan, client, facts),
            subject=image.address,
            busy=f"Levels of {image.name!r} are being made already. Wait until that "
            "is done, or cancel it where it was started.",
        )
        is_replacing = any(level.replaces for level in preview.plan.levels)
        # Bound to no widget: layers get their levels also if the form is closed.
        job.subscribe(functools.partial(_renew_layers, image.address, is_replacing))
        self._part.start(job, functools.partial(_words_of, image.name))

    def _on_end(self) -> None:
        self._plan_again(keep_message=True)


def _kept(before: Any, images: list[OpenImage]) -> Any:
    """Return the choice that was made before, if it is still there."""
    if not isinstance(before, OpenImage):
        return before
    return next((i for i in images if i.address == before.address), None)


def _renew_layers(address: str, is_replacing: bool, job: Job[Names]) -> None:
    """Show the present levels in the open layers, at the end of a job."""
    outcome = job.outcome
    if outcome is not None and (outcome.kind == "done" or is_replacing):
        show_present_levels(address)


def _words_of(name: str, outcome: Outcome[Names]) -> str:
    """Return how a run ended, in words."""
    if outcome.kind == "cancelled":
        return f"Cancelled; {name!r} is as it was."
    return f"Made {_in_a_row(outcome.result or ())} of {name!r} in {took(outcome)}."


def _in_a_row(keys: Names) -> str:
    if len(keys) < 2:
        return "".join(keys)
    return f"{', '.join(keys[:-1])} and {keys[-1]}"


def _warm_up() -> None:
    """Import what a run needs, before it does: imports stop the window."""
    from ... import engines, storage  # noqa: F401


def _warm_up_dask(address: str) -> None:
    """Import dask's cluster in a thread, once it is going to be used."""
    if address.strip():
        threading.Thread(target=_import_dask, name="napari-msimage imports").start()


def _import_dask() -> None:
    import contextlib

    with contextlib.suppress(ImportError):
        import distributed  # noqa: F401
