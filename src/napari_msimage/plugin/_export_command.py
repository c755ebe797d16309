"""The command that exports the current view with the last settings."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import ArgumentError, SOMAError, UnsupportedError
from ._export_layer import layers_to_export
from ._export_settings import (
    ENDINGS,
    NEW_LAYER,
    SCREEN_LEVEL,
    ExportSettings,
    layer_settings,
    load_settings,
)
from ._keys import bind_keys
from ._notices import tell
from ._region_frame import image_frame, source_axes, view_state
from ._region_view import view_region

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..engines import ImageRegion
    from ._export_layer import ExportLayer
    from ._region_frame import ViewState

COMMAND_ID: Final = "napari-msimage.export_view"
_TYPES: Final = ("image", "labels")
_NO_FILE_NAME: Final = re.compile(r'[\x00-\x1f\ud800-\udfff<>:"/\\|?*]+')
#: Bytes of the image's name that a file name has.
_MAX_NAME: Final = 100
#: What is written beside a file; a part is of an export that still runs, or was killed.
_BESIDE: Final = ("", ".part", ".json")


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class ViewExport:
    """The current view, ready to be planned and written."""

    layers: tuple[Any, ...]
    """What is exported."""
    export: ExportLayer
    """The same as a source."""
    region: ImageRegion
    """What the canvas shows of it."""
    level: int
    """Which level."""
    destination: Path | None
    """The file; None for a new layer."""
    settings: ExportSettings
    """How."""


def export_view() -> None:
    """Export what the current viewer shows, with the settings of the last export."""
    import napari

    viewer = napari.current_viewer()
    if viewer is None:
        tell("Open a napari viewer first.", "error")
        return
    bind_keys(viewer)
    export_view_of(viewer)


def export_view_of(viewer: Any) -> None:
    """Export what a viewer shows, with the settings of the last export; tell errors."""
    from ._export_request import worded

    try:
        start_view_export(viewer)
    except SOMAError as err:
        tell(worded(str(err)), "error")


def start_view_export(viewer: Any, settings: ExportSettings | None = None) -> Any:
    """Export what a viewer shows, without stopping the window.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    settings : ExportSettings, optional
        How; by default as the last time.

    Returns
    -------
    Job or list of napari layers
        The work in its thread; or the new layers, which take no time.

    Raises
    ------
    SOMAError
        If there is nothing to export, or it cannot be done like that.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)
    what = plan_view_export(viewer, settings or load_settings())
    if what.destination is None:
        return _add_layers(viewer, what)
    return _start_job(what)


def plan_view_export(viewer: Any, settings: ExportSettings) -> ViewExport:
    """Return what is exported of the current view; in the window's thread.

    Raises
    ------
    SOMAError
        If there is no image or labels layer, it is not on the canvas, or the settings
        do not fit it.
    """
    layers = layers_of_view(viewer)
    view = view_state(viewer)
    is_new_layer = settings.format == NEW_LAYER
    if not is_new_layer and settings.format not in ENDINGS:
        formats = ", ".join((*ENDINGS, NEW_LAYER))
        msg = (
            f"The format of the last export is {settings.format!r}; the formats are "
            f"{formats}. Choose one in Preferences, or export with the form."
        )
        raise ArgumentError(msg)
    if settings.as_displayed and not is_new_layer:
        from ._export_displayed import displayed_source

        canvas = np.asarray(viewer.canvas.background_color, dtype=float)[:3]
        export = displayed_source(
            layers, background=tuple(map(float, canvas)), view=view
        )
    else:
        axis = layer_settings(layers).channel_axis
        export = layers_to_export(layers, channel_axis=axis, view=view)
    region = view_region(export, view, planes=settings.planes)
    destination = None
    if not is_new_layer:
        destination = _free_path(settings, export.source.name)
    level = level_for(export, view, settings.level)
    return ViewExport(layers, export, region, level, destination, settings)


def layers_of_view(viewer: Any) -> tuple[Any, ...]:
    """Return the visible layers that are meant: the selected ones, else the topmost.

    Of an image that our reader split into channels, all channels that are visible.

    Raises
    ------
    ArgumentError
        If there is no image or labels layer.
    """
    shown = [
        layer
        for layer in viewer.layers
        if layer._type_string in _TYPES and layer.visible
    ]
    candidates = [layer for layer in shown if layer in viewer.layers.selection]
    candidates = candidates or shown[-1:]
    if not candidates:
        msg = (
            "There is no visible image or labels layer to be exported. Open or select "
            "one."
        )
        raise ArgumentError(msg)
    if len(candidates) == 1:
        return _with_other_channels(viewer, candidates[0])
    return tuple(candidates)


def _with_other_channels(viewer: Any, layer: Any) -> tuple[Any, ...]:
    """Return a layer with the other visible channels of its image, bottom to top."""
    from ._layers import LAYER_METADATA_KEY

    def image_of(other: Any) -> Any:
        entry = other.metadata.get(LAYER_METADATA_KEY)
        return entry.get("image_id") if isinstance(entry, dict) else None

    image_id = image_of(layer)
    if image_id is None or layer._type_string != "image" or layer.rgb:
        return (layer,)
    return tuple(
        other
        for other in viewer.layers
        if image_of(other) == image_id and other.visible
    )


def level_for(export: ExportLayer, view: ViewState, wish: str) -> int:
    """Return the number of the level that a setting asks for.

    Parameters
    ----------
    export : ExportLayer
        The image.
    view : ViewState
        What is on the canvas.
    wish : str
        "screen", or a number; numbers beyond the coarsest level mean that one.

    Raises
    ------
    ArgumentError
        If it is neither.
    """
    n_levels = len(export.source.levels)
    if wish != SCREEN_LEVEL:
        if not wish.strip().isdecimal():
            msg = (
                f"The level of the last export is {wish!r}; expected "
                f"{SCREEN_LEVEL!r} or the number of a level, 0 for the finest."
            )
            raise ArgumentError(msg)
        return min(int(wish), n_levels - 1)
    frame = image_frame(export, view)
    axes = list(source_axes(export, frame))
    # screen pixels per pixel of the finest level, along the image's axes
    sizes = np.hypot(*frame.to_canvas[:2, :2]) * view.zoom
    for level in range(n_levels - 1, 0, -1):
        shape = np.array(export.shapes[level], dtype=float)[axes]
        finest = np.array(export.shapes[0], dtype=float)[axes]
        if (sizes * finest / shape <= 1 + 1e-9).all():
            return level
    return 0


def _free_path(settings: ExportSettings, name: str) -> Path:
    """Return a path in the folder of the settings where nothing is yet."""
    folder = settings.folder_path
    if not folder.is_dir():
        msg = (
            f"The folder of the last export, {str(folder)!r}, is not there. Choose "
            "another one in Preferences, or export with the form."
        )
        raise ArgumentError(msg)
    short = _NO_FILE_NAME.sub("_", name).encode()[:_MAX_NAME].decode(errors="ignore")
    stem = short.strip(" .") or "image"
    ending = ENDINGS[settings.format]
    path = folder / f"{stem}_view{ending}"
    number = 2
    while any(_is_taken(path, end) for end in _BESIDE):
        path = folder / f"{stem}_view_{number}{ending}"
        number += 1
    return path


def _is_taken(path: Path, ending: str) -> bool:
    return os.path.lexists(f"{path}{ending}")


# Running --------------------------------------------------------------------------


def _add_layers(viewer: Any, what: ViewExport) -> list[Any]:
    from napari.layers import Layer

    from ._export_new_layer import region_layers

    tuples = region_layers(what.export, what.region, what.level, what.layers)
    return [viewer.add_layer(Layer.create(*parts)) for parts in tuples]


def _start_job(what: ViewExport) -> Any:
    from napari.utils import cancelable_progress

    from .widgets._jobs import Job

    if what.destination is None:
        msg = "A new layer is made at once, not in a thread."
        raise UnsupportedError(msg)
    path = str(what.destination)
    notes: list[str] = []
    job: Job[Any] = Job(
        functools.partial(_write, what, notes),
        subject=path,
        busy=f"{path!r} is being written.",
    )
    bar = cancelable_progress(total=100, desc=f"Exporting {what.destination.name}")
    job.subscribe(functools.partial(_on_tick, bar, path, notes))
    try:
        job.start()
    except SOMAError:
        bar.close()
        raise
    return job


def _write(what: ViewExport, notes: list[str]) -> Any:
    """Return the engine that writes the view; called in the thread of its job.

    What the user should know of the result is added to `notes`.
    """
    from ..engines import plan_export, write_export
    from ._export_stored import in_stored_order
    from ._export_wish import number_of

    settings, export, region = what.settings, what.export, what.region
    channels = None
    if not settings.as_displayed:
        channels = layer_settings(what.layers).channels
        export, (region,) = in_stored_order(export, what.layers, (region,))
        if export.channels is not None:
            chosen = range(len(export.channels)) if channels is None else channels
            channels = tuple(export.channels[index] for index in chosen)
    is_outlined = region.outline is not None
    fill = number_of(settings.fill_value, "The fill value") or 0.0
    plan = plan_export(
        export.source,
        str(what.destination),
        region=region,
        level=what.level,
        channels=channels,
        format=settings.format,
        compression=settings.compression_of(settings.format),
        pyramid=settings.pyramid_of(settings.format),
        json=True if settings.json_file else None,
        mask=is_outlined and settings.outside != "keep",
        fill_value=int(fill) if fill.is_integer() else fill,
        alpha=is_outlined and settings.outside == "alpha",
    )
    notes += [*what.export.notes, *plan.notes]
    return write_export(plan)


def _on_tick(bar: Any, path: str, notes: Sequence[str], job: Any) -> None:
    """Show how far the work is, and how it ended; in the window's thread."""
    from ._export_request import worded

    if bar.is_canceled:
        job.cancel()
    if job.progress is not None:
        bar.update(int(100 * job.progress.fraction) - bar.n)
    if job.outcome is None:
        return
    bar.close()
    if job.outcome.kind == "failed":
        tell(worded(job.outcome.message), "error")
    elif job.outcome.kind == "cancelled":
        tell(f"Cancelled; nothing was written to {path!r}.")
    elif job.outcome.kind == "done":
        done = f"The current view was exported to {path!r}."
        tell("\n".join((done, *map(worded, notes))))
