"""What comes before and after an export: consent, new layers, words, files opened."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ...errors import ArgumentError, SOMAError
from .._export_settings import DEFAULT, ExportSettings, save_settings
from ._jobs import Outcome, sentence_of
from ._parts import confirm
from ._run_part import Names, took

if TYPE_CHECKING:
    from ...engines import ExportPlan
    from .._export_preview import ExportPreview

_TITLE: Final = "Export region"
_MAX_PATHS_ASKED: Final = 5
#: As in the preferences.
_ANSWERS: Final = {True: "yes", False: "no"}

#: Files of an export with many regions are opened up to this number.
MAX_OPENED: Final = 20
#: Extra layers of which a format's reader would not know the place.
_UNPLACED: Final = ("png", "npy", "ome-tiff")


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
            mask=wish.mask != "keep",
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
    source = dataclasses.replace(plan.source, levels=())
    return dataclasses.replace(plan, source=source)


def words_of(
    plan: ExportPlan, outcome: Outcome[Names], changed: Sequence[str] = ()
) -> str:
    """Return how a run ended that did not fail, in words.

    Parameters
    ----------
    plan : ExportPlan
        What was to be written.
    outcome : Outcome
        How it ended.
    changed : sequence of str
        Layers whose pixels were changed meanwhile.
    """
    from ...engines import bytes_in_words

    first, *others = plan.files
    if outcome.kind == "cancelled":
        if others:
            return "Cancelled; files that were complete stay, no partial one is left."
        return f"Cancelled; nothing was written to {first.path!r}."
    sizes = [os.path.getsize(f.path) for f in plan.files if os.path.isfile(f.path)]
    size = f" ({bytes_in_words(sum(sizes))})" if sizes else ""
    what = repr(first.path)
    if others:
        what = f"{len(plan.files)} files to {os.path.dirname(first.path)!r}"
    words = f"Exported {what}{size} in {took(outcome)}."
    if changed:
        words += (
            f" {', '.join(map(repr, changed))} was changed meanwhile; export again to "
            "have all of it."
        )
    return words


def show_in_folder(path: str) -> bool:
    """Open the folder of a file in the desktop's file manager; False if it cannot."""
    from qtpy.QtCore import QUrl
    from qtpy.QtGui import QDesktopServices

    url = QUrl.fromLocalFile(os.path.dirname(os.path.abspath(path)))
    return bool(QDesktopServices.openUrl(url))


def open_results(
    viewer: Any,
    plan: ExportPlan,
    add: Callable[[Callable[[], object]], object],
    on_error: Callable[[str], object],
) -> Any:
    """Open the files of an export in a viewer, where their pixels came from.

    The window stays alive while they are read. Files of formats that do not tell
    napari where they lie are put there.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    plan : ExportPlan
        What was written.
    add : callable
        Called with a function that adds the layers, once they are read.
    on_error : callable
        Called with a sentence if they cannot be opened.
    """
    from napari.qt.threading import create_worker

    viewer = getattr(viewer, "__wrapped__", viewer)
    files = plan.files[:MAX_OPENED]
    if plan.format == "soma":
        return [_open_soma(viewer, file.path, add, on_error) for file in files]
    worker = create_worker(
        _read_all,
        plan,
        _progress={"desc": "Opening the exported files", "total": 0},
        _start_thread=False,
        _ignore_errors=True,
    )
    worker.returned.connect(lambda layers: add(lambda: _add(viewer, layers)))
    worker.errored.connect(lambda err: on_error(_sentence_of(err)))
    worker.start()
    return worker


def _open_soma(
    viewer: Any,
    path: str,
    add: Callable[[Callable[[], object]], object],
    on_error: Callable[[str], object],
) -> Any:
    """Open an image of ours, as our reader does."""
    from napari.qt.threading import create_worker

    from .._open import OpenRequest, add_layers, read_layers

    worker = create_worker(
        read_layers,
        OpenRequest(path),
        _progress={"desc": "Opening SOMA image", "total": 0},
        _start_thread=False,
        _ignore_errors=True,
    )
    worker.returned.connect(lambda layers: add(lambda: add_layers(viewer, layers)))
    worker.errored.connect(lambda err: on_error(_sentence_of(err)))
    worker.start()
    return worker


def _read_all(plan: ExportPlan) -> list[Any]:
    """Return layer tuples of all files; in a thread."""
    found: list[Any] = []
    for file in plan.files[:MAX_OPENED]:
        layers = _read(file.path)
        name = os.path.basename(file.path)
        if plan.format in _UNPLACED:
            layers = [_placed(layer, plan, file, name) for layer in layers]
        found += layers
    return found


def _read(path: str) -> Sequence[Any]:
    import npe2

    try:
        layers: Sequence[Any] = npe2.read([path], stack=False)
    except ValueError as err:
        hint = ""
        if path.endswith(".zarr"):
            hint = " The plugin napari-ome-zarr opens OME-Zarr: install it first."
        msg = f"napari has no reader for {path!r}.{hint}"
        raise ArgumentError(msg) from err
    return layers


def _placed(layer: Any, plan: ExportPlan, file: Any, name: str) -> Any:
    """Return a layer tuple where its pixels came from, with colours as they are."""
    import numpy as np

    from ...storage import CHANNEL_AXIS
    from .._layer_source import layer_parts
    from .._layer_transform import placement_arguments
    from .._placement import image_matrix
    from .._units import PIXEL

    data, attributes, kind = layer_parts(layer)
    kept = {k: v for k, v in attributes.items() if k in ("name", "metadata")}
    source, n_axes = plan.source, len(file.to_world) - 1
    shown = (source.coordinate_names or source.spatial_names[::-1])[::-1]
    axes = (*shown, CHANNEL_AXIS) if plan.format == "png" else plan.file_axes
    levels = data if isinstance(data, list) else [data]
    if levels[0].ndim == n_axes:
        axes = tuple(name for name in axes if name != CHANNEL_AXIS)
    if levels[0].ndim != len(axes):
        return data, {**kept, "name": name}, kind  # the reader has its own idea
    wanted: tuple[str, ...] = shown
    if CHANNEL_AXIS in axes:
        wanted = (*shown, CHANNEL_AXIS) if plan.is_rgb else (CHANNEL_AXIS, *shown)
    if wanted != axes:
        levels = [one.transpose([axes.index(n) for n in wanted]) for one in levels]
        data = levels if isinstance(data, list) else levels[0]
    order = [source.spatial_names.index(n) for n in shown]
    to_world = file.to_world[np.ix_([*order, n_axes], [*order, n_axes])]
    arguments: dict[str, Any] = {
        **placement_arguments(None, to_world @ image_matrix(n_axes), n_axes),
        "units": tuple(source.units[axis] or PIXEL for axis in order),
    }
    if plan.is_rgb and wanted[-1] == CHANNEL_AXIS:
        arguments["rgb"] = True
    elif wanted[0] == CHANNEL_AXIS and not isinstance(data, list):
        arguments["channel_axis"] = 0
        name_of = source.channel_names
        names = [name_of[i] if name_of else str(i) for i in plan.channels or ()]
        kept["name"] = [f"{name} {one}" for one in names]
        return data, {**kept, **arguments}, kind
    if source.is_labels:
        kind = "labels"
        data = np.asarray(data)
    return data, {**kept, "name": name, **arguments}, kind


def _add(viewer: Any, layers: Sequence[Any]) -> None:
    from .._layer_source import layer_parts

    for data, attributes, kind in map(layer_parts, layers):
        getattr(viewer, f"add_{kind}")(data, **attributes)


def _sentence_of(err: BaseException) -> str:
    if isinstance(err, SOMAError):
        return sentence_of(err)
    return f"The file was written, but napari cannot open it: {err}"
