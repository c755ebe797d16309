"""What comes before and after an export: consent, settings, new layers, words."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .._export_settings import DEFAULT, ExportSettings, save_settings
from ._jobs import Outcome, sentence_of
from ._parts import confirm
from ._run_part import Names, took

if TYPE_CHECKING:
    from ...engines import ExportPlan
    from .._export_preview import ExportPreview
    from ._export_run import ExportRun

_TITLE: Final = "Export region"
_MAX_PATHS_ASKED: Final = 5
#: As in the preferences.
_ANSWERS: Final = {True: "yes", False: "no"}


def may_replace(parent: Any, existing: Sequence[str]) -> bool:
    """Ask whether what is at some paths may be replaced."""
    told = [repr(path) for path in existing[:_MAX_PATHS_ASKED]]
    if (more := len(existing) - len(told)) > 0:
        told.append(f"and {more} more")
    details = f"{', '.join(told)} will be replaced; that cannot be taken back."
    return confirm(parent, _TITLE, "Replace what is there?", details, "Replace")


def keep_settings(preview: ExportPreview, folder: str) -> str:
    """Keep what the next export, and the command for the view, begin with.

    Returns
    -------
    str
        The folder that is proposed next: that of the file, else the one given.
    """
    wish, place = preview.wish, preview.wish.place
    if not wish.is_layer and "://" not in place:
        folder = os.path.dirname(os.path.abspath(os.path.expanduser(place)))
    save_settings(
        ExportSettings(
            folder=folder,
            format=wish.format,
            level="screen" if wish.level == "screen" else str(preview.level),
            as_displayed=wish.is_displayed,
            planes="all" if wish.planes == "all" else "current",
            outside=wish.mask,
            fill_value=wish.fill_value,
            compression=wish.compression or DEFAULT,
            pyramid=DEFAULT if wish.pyramid is None else _ANSWERS[wish.pyramid],
            json_file=wish.json,
        )
    )
    return folder


def add_regions(viewer: Any, preview: ExportPreview) -> list[Any]:
    """Add layers that show the regions in place; they read when they are drawn."""
    from napari.layers import Layer

    from .._export_new_layer import region_layers

    source, level = preview.layer, preview.level
    if source is None or level is None:
        return []
    layers = preview.snapshot.layers
    return [
        viewer.add_layer(Layer.create(*parts))
        for region in preview.regions
        for parts in region_layers(source, region, level, layers)
    ]


def with_consent(plan: ExportPlan, *, is_agreed: bool) -> ExportPlan:
    """Return a plan that replaces files only if that was agreed to."""
    options = dataclasses.replace(plan.options, overwrite=is_agreed)
    return dataclasses.replace(plan, options=options)


def plan_in_words(preview: ExportPreview) -> str:
    """Return what is planned, or what is wrong, as a sentence."""
    from ...engines import bytes_in_words

    if preview.error is not None:
        return sentence_of(preview.error)
    plan, free = preview.plan, preview.free_bytes
    if plan is None:
        return "A new layer that shows these pixels in place; nothing is copied."
    what = "1 file" if len(plan.files) == 1 else f"{len(plan.files)} files"
    words = f"{what}, about {bytes_in_words(plan.estimated_bytes)}"
    if free is not None:
        words += f" ({bytes_in_words(free)} are free)"
    if preview.existing:
        words += "; replaces what is there, after asking"
    return f"{words}."


def without_pixels(plan: ExportPlan) -> ExportPlan:
    """Return a plan that keeps no image open, for what comes after the run."""
    source = plan.source
    nothing = np.zeros((), source.dtype)
    shapes = [source.shape(level) for level in range(len(source.levels))]
    levels = tuple(np.broadcast_to(nothing, shape) for shape in shapes)
    source = dataclasses.replace(source, levels=levels)
    return dataclasses.replace(plan, source=source)


def words_of(
    run: ExportRun,
    outcome: Outcome[Names],
    changed: Sequence[str] = (),
    removed: Sequence[str] = (),
) -> str:
    """Return how a run ended that did not fail, in words.

    Parameters
    ----------
    run : ExportRun
        The run.
    outcome : Outcome
        How it ended.
    changed, removed : sequence of str
        Layers whose pixels were changed meanwhile, and that were removed.
    """
    from ...engines import bytes_in_words

    plan = run.plan
    first, *others = plan.files
    if outcome.kind == "cancelled":
        if others:
            return "Cancelled; files that were complete stay, no partial one is left."
        return f"Cancelled; nothing was written to {first.path!r}."
    size = f" ({bytes_in_words(run.n_bytes)})" if run.n_bytes else ""
    what = repr(first.path)
    if others:
        what = f"{len(plan.files)} files to {os.path.dirname(first.path)!r}"
    words = f"Exported {what}{size} in {took(outcome)}."
    if changed:
        words += (
            f" {', '.join(map(repr, changed))} was changed meanwhile; export again to "
            "have all of it."
        )
    if removed:
        names = ", ".join(map(repr, removed))
        words += f" {names} was removed meanwhile; all of it was written."
    return words


def show_in_folder(path: str) -> bool:
    """Open the folder of a file in the desktop's file manager; False if it cannot."""
    from qtpy.QtCore import QUrl
    from qtpy.QtGui import QDesktopServices

    url = QUrl.fromLocalFile(os.path.dirname(os.path.abspath(path)))
    return bool(QDesktopServices.openUrl(url))
