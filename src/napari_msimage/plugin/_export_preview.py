"""What an export would write: regions, levels with their sizes, place; no Qt."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..engines import check_places, level_table
from ..errors import AlreadyExistsError, ArgumentError, SOMAError
from ..storage import is_local
from ._export_layer import layers_to_export
from ._export_request import (
    channels_of_wish,
    level_of_wish,
    plan_of_wish,
    regions_of,
    worded,
    worded_error,
)
from ._export_rings import Segments, outline_segments
from ._export_settings import PYRAMIDS
from ._export_wish import ALPHAS
from ._free_space import free_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engines import ExportPlan, ExportSource, ImageRegion
    from ._export_layer import ExportLayer
    from ._export_wish import ExportWish
    from ._region_frame import ViewState
    from ._region_shapes import DrawnShapes
    from ._save_wish import LayerParts

_MAX_PATHS_TOLD: Final = 3


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ExportSnapshot:
    """Everything an export depends on, at one moment; holds no layer."""

    wish: ExportWish
    """What is filled in."""
    layers: tuple[LayerParts, ...]
    """Layers of the image, bottom to top; their pixels are not copied."""
    view: ViewState
    """What the canvas shows."""
    shapes: DrawnShapes | None = None
    """The shapes, if regions come from them."""
    displayed: ExportLayer | None = None
    """The layers as they are drawn, if that is to be exported."""
    error: SOMAError | None = None
    """What is wrong with the layers or the shapes."""


@dataclasses.dataclass(frozen=True, slots=True)
class ExportRow:
    """What an export takes at one level."""

    key: str
    """Name of the level."""
    shapes: tuple[tuple[int, ...], ...]
    """Pixels per spatial axis of each region, data axis order."""
    pixel_size: tuple[float, ...]
    """World units per pixel, per spatial axis."""
    nbytes: int
    """Bytes of all pixels in memory."""
    file_bytes: int | None
    """Size of all files, roughly; None for a new layer."""
    refusal: str | None = None
    """Why the format cannot hold it."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ExportPreview:
    """What a wish makes of layers, shapes and view."""

    snapshot: ExportSnapshot
    """Of what."""
    layer: ExportLayer | None = None
    """The image."""
    regions: tuple[ImageRegion, ...] = ()
    """What is exported of it."""
    rows: tuple[ExportRow, ...] = ()
    """Its levels, finest first."""
    level: int | None = None
    """The one that is exported."""
    plan: ExportPlan | None = None
    """The files; None for a new layer."""
    segments: Segments | None = None
    """Edges of the exported pixels on the canvas."""
    existing: tuple[str, ...] = ()
    """What is replaced."""
    free_bytes: int | None = None
    """Space on the disk of the destination; None for object stores."""
    error: SOMAError | None = None
    """What is wrong."""

    @property
    def wish(self) -> ExportWish:
        """What was filled in."""
        return self.snapshot.wish

    @property
    def can_run(self) -> bool:
        """Whether nothing is wrong."""
        is_planned = self.plan is not None or self.wish.is_layer
        return self.error is None and self.level is not None and is_planned

    @property
    def takes(self) -> tuple[Any, ...]:
        """What would be written; equal if that is the same."""
        if self.plan is None:
            bounds = [(region.lower, region.upper) for region in self.regions]
            return tuple(bounds), self.level
        files = [(file.path, file.window) for file in self.plan.files]
        options = (self.plan.format, self.plan.channels, self.plan.options)
        return tuple(files), self.level, *options, self.existing

    @property
    def clear_formats(self) -> tuple[str, ...]:
        """Formats in which pixels outside of an outline can be transparent."""
        if self.layer is None:
            return ()
        source, chosen = self.layer.source, self.wish.channels
        axis = source.channel_axis
        n_channels = 1 if axis is None else source.shape(0)[axis]
        if chosen is not None and not self.wish.is_displayed:
            n_channels = len(chosen)
        if source.dtype != np.uint8:
            return ()
        if source.is_rgb and n_channels > 1:
            return ALPHAS
        return ALPHAS[:1] if n_channels == 1 and not source.is_rgb else ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know before, as sentences."""
        taken = self.layer.notes if self.layer is not None else ()
        if self.plan is None:
            return (*taken, *self._layer_notes)
        notes = [*taken, *(worded(note) for note in self.plan.notes)]
        if len(self.plan.files) > 1:
            names = [os.path.basename(file.path) for file in self.plan.files]
            told = ", ".join(names[:_MAX_PATHS_TOLD])
            more = len(names) - _MAX_PATHS_TOLD
            told += f" and {more} more" if more > 0 else ""
            notes.insert(0, f"{len(names)} files, one per region: {told}.")
        return tuple(notes)

    @property
    def _layer_notes(self) -> tuple[str, ...]:
        is_outlined = any(region.outline is not None for region in self.regions)
        if not (self.wish.is_layer and is_outlined):
            return ()
        return ("New layers show bounding boxes along the image's own axes.",)


def take_snapshot(
    viewer: Any,
    layers: Sequence[Any],
    shapes_layer: Any,
    wish: ExportWish,
) -> ExportSnapshot:
    """Return what an export depends on; in the window's thread, reads no pixels.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose view it is.
    layers : sequence of napari layers
        Layers of the image, bottom to top.
    shapes_layer : napari.layers.Shapes, optional
        Where regions are drawn.
    wish : ExportWish
        What is filled in.
    """
    from ._region_frame import view_state
    from ._save_wish import parts_of_layer

    snapshot = ExportSnapshot(
        wish, tuple(map(parts_of_layer, layers)), view_state(viewer)
    )
    try:
        if wish.region in ("shapes", "selected"):
            shapes = _shapes_of(shapes_layer, selected=wish.region == "selected")
            snapshot = dataclasses.replace(snapshot, shapes=shapes)
        if wish.is_displayed and not wish.is_layer:
            displayed = _displayed(viewer, layers, snapshot.view)
            snapshot = dataclasses.replace(snapshot, displayed=displayed)
    except SOMAError as err:
        return dataclasses.replace(snapshot, error=worded_error(err))
    return snapshot


def _shapes_of(layer: Any, *, selected: bool) -> DrawnShapes:
    from ._region_shapes import drawn_shapes

    if layer is None:
        msg = (
            "There is no Shapes layer. Add one (the polygon button above the list of "
            "layers), and draw a shape around what is to be exported."
        )
        raise ArgumentError(msg)
    return drawn_shapes(layer, selected=selected)


def _displayed(viewer: Any, layers: Sequence[Any], view: ViewState) -> ExportLayer:
    from ._export_displayed import displayed_source

    background = np.asarray(viewer.canvas.background_color, dtype=float)[:3]
    colors = tuple(map(float, background))
    return displayed_source(layers, background=colors, view=view)


def preview_export(snapshot: ExportSnapshot) -> ExportPreview:
    """Plan an export and look at the place; reads no pixels, in any thread."""
    found = ExportPreview(snapshot)
    if snapshot.error is not None:
        return dataclasses.replace(found, error=snapshot.error)
    try:
        found = _with_image(found)
        found = _with_levels(found)
        found = _with_level(found)
        found = _with_plan(found)
    except _Partial as partial:
        cause = partial.__cause__
        assert isinstance(cause, SOMAError)
        return dataclasses.replace(partial.found, error=worded_error(cause))
    return found


class _Partial(Exception):
    """Carries what was found before something turned out to be wrong."""

    def __init__(self, found: ExportPreview) -> None:
        super().__init__()
        self.found = found


@contextlib.contextmanager
def _keeping(found: ExportPreview) -> Any:
    """Keep what was found, if what follows is refused."""
    try:
        yield
    except SOMAError as err:
        raise _Partial(found) from err


def _with_image(found: ExportPreview) -> ExportPreview:
    snapshot = found.snapshot
    with _keeping(found):
        layer = snapshot.displayed
        if layer is None:
            axis = snapshot.wish.channel_axis
            layer = layers_to_export(
                snapshot.layers, channel_axis=axis, view=snapshot.view
            )
        return dataclasses.replace(found, layer=layer)


def _with_levels(found: ExportPreview) -> ExportPreview:
    layer, wish = found.layer, found.wish
    assert layer is not None
    with _keeping(found):
        regions = regions_of(layer, wish, found.snapshot.view, found.snapshot.shapes)
    found = dataclasses.replace(found, regions=regions)
    with _keeping(found):
        channels = channels_of_wish(layer.source, wish)
        rows = _rows(layer.source, regions, channels, wish)
        return dataclasses.replace(found, rows=rows)


def _with_level(found: ExportPreview) -> ExportPreview:
    layer, view = found.layer, found.snapshot.view
    assert layer is not None
    with _keeping(found):
        level = level_of_wish(layer, found.regions, found.wish, view)
    is_masked = found.wish.mask != "keep" and not found.wish.is_layer
    segments = outline_segments(
        layer, found.regions, level, view, with_outlines=is_masked
    )
    return dataclasses.replace(found, level=level, segments=segments)


def _with_plan(found: ExportPreview) -> ExportPreview:
    wish, layer = found.wish, found.layer
    if wish.is_layer or layer is None:
        return found
    with _keeping(found):
        channels = channels_of_wish(layer.source, wish)
        level = int(found.level or 0)
        plan = plan_of_wish(layer.source, found.regions, level, wish, channels)
        found = dataclasses.replace(found, plan=plan)
        local = [path for path in plan.paths if is_local(path)]
        existing = tuple(path for path in local if os.path.lexists(path))
        free = free_bytes(local[0]) if local else None
        found = dataclasses.replace(found, existing=existing, free_bytes=free)
    with _keeping(found):
        if local:
            check_places(plan)
            _check_soma(plan, existing)
    return found


def _check_soma(plan: ExportPlan, existing: Sequence[str]) -> None:
    """Refuse to replace by a SOMA image what is none."""
    from ..storage import probe

    if plan.format != "soma":
        return
    for path in existing:
        is_soma = not os.path.islink(path) and (probe(path) or "").startswith("SOMA")
        if not is_soma and not os.path.isfile(path):
            msg = (
                f"What is at {path!r} is no SOMA image, so it is not replaced. Choose "
                "another name."
            )
            raise AlreadyExistsError(msg)


# Levels --------------------------------------------------------------------------


def _rows(
    source: ExportSource,
    regions: Sequence[ImageRegion],
    channels: tuple[int, ...] | None,
    wish: ExportWish,
) -> tuple[ExportRow, ...]:
    has_pyramid = PYRAMIDS.get(wish.format, False)
    if wish.pyramid is not None and wish.format in PYRAMIDS:
        has_pyramid = wish.pyramid
    target: Any = wish.format
    table = level_table(
        source,
        list(regions),
        channels=channels,
        pyramid=has_pyramid,
        compression="none" if wish.compression == "none" else "zlib",
        formats=() if wish.is_layer else (target,),
    )
    return tuple(
        ExportRow(
            key=row.key,
            shapes=_spatial(source, row.shapes),
            pixel_size=row.pixel_size,
            nbytes=row.nbytes,
            file_bytes=row.estimated_bytes.get(target),
            refusal=row.refusals.get(target),
        )
        for row in table
    )


def _spatial(
    source: ExportSource, shapes: Sequence[tuple[int, ...]]
) -> tuple[tuple[int, ...], ...]:
    """Return shapes without the channel axis."""
    axis = source.channel_axis
    if axis is None:
        return tuple(shapes)
    return tuple(map(tuple, np.delete(np.array(shapes), axis, axis=1).tolist()))
