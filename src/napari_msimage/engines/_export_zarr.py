"""Export as OME-Zarr 0.5: a group of arrays, one per level, with place and channels."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ._export_axes import ome_origin, zarr_layout
from ._export_blocks import bands
from ._export_coarser import coarser_pixels, coarser_plan
from ._export_pixels import ColumnPixels, TransposedPixels
from ._export_threads import for_all
from ._export_units import ngff_unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from ._export_axes import ZarrLayout
    from ._export_plan import ExportPlan, PlannedFile
    from ._export_threads import Ticker
    from ._export_writers import ExportPixels
    from ._level_shapes import Shape

_VERSION: Final = "0.5"
#: Edge of the chunks along the last two axes.
_CHUNK: Final = 512
#: Bytes read at a time; wider images are read in strips of columns.
_READ_BYTES: Final = 8 * 2**20
_RGB: Final = ("FF0000", "00FF00", "0000FF", "FFFFFF")


def write_zarr(
    plan: ExportPlan, file: PlannedFile, pixels: ExportPixels, path: str, tick: Ticker
) -> None:
    """Write pixels, and coarser levels of them if wanted, as OME-Zarr.

    Parameters
    ----------
    plan : ExportPlan
        The plan.
    file : PlannedFile
        Which part of it.
    pixels : ExportPixels
        Its pixels.
    path : str
        Folder to fill.
    tick : Ticker
        Gets the bytes written.
    """
    import zarr

    from ._export_zarr_store import EndingStore

    names = plan.source.axis_names
    layout = zarr_layout(names)
    levels = coarser_plan(plan, pixels)
    made = os.path.join(path, ".levels")
    with coarser_pixels(levels, pixels, made, tick) as coarser:
        stored = [TransposedPixels(one, layout.order) for one in (pixels, *coarser)]
        shapes = [one.shape for one in stored]
        attributes = {"ome": _metadata(plan, file, layout, shapes)}
        # Not to a group yet: readers would take it for complete.
        for number, level in enumerate(stored):
            store = EndingStore(os.path.join(path, str(number)))
            try:
                array = zarr.create_array(
                    store,
                    shape=level.shape,
                    dtype=level.dtype,
                    chunks=_chunks(level.shape),
                    compressors=_compressors(plan.options.compression),
                    fill_value=0,
                    dimension_names=layout.names,
                    zarr_format=3,
                )
                _fill(array, level, tick)
            finally:
                store.end()
    zarr.create_group(path, attributes=attributes, zarr_format=3)


def _fill(array: Any, pixels: ExportPixels, tick: Ticker) -> None:
    """Copy pixels, whole chunks at a time."""
    row_axis = len(pixels.shape) - 2
    planes = list(np.ndindex(pixels.shape[:row_axis]))
    n_rows, n_columns = pixels.shape[row_axis:]
    # Many chunks at a time: zarr takes a while to begin and end an assignment.
    most = max(1, _READ_BYTES // (_CHUNK * _CHUNK * pixels.dtype.itemsize))
    width = most * _CHUNK
    height = max(1, most // -(-min(width, n_columns) // _CHUNK)) * _CHUNK
    n_bands = -(-n_rows // height)

    def parts() -> Iterator[tuple[int, int, npt.NDArray[Any]]]:
        for left in range(0, n_columns, width):
            strip = ColumnPixels(pixels, left, min(left + width, n_columns))
            found = bands(strip, row_axis, height, _READ_BYTES)
            for number, part in enumerate(found):
                yield number, left, part

    def write(item: tuple[int, int, npt.NDArray[Any]]) -> None:
        number, left, part = item
        plane, top = planes[number // n_bands], number % n_bands * height
        tick()
        rows, columns = part.shape
        place = (*plane, slice(top, top + rows), slice(left, left + columns))
        array[place] = part
        tick(part.nbytes)

    for_all(parts(), write)


def _chunks(shape: Shape) -> Shape:
    return (*(1,) * (len(shape) - 2), *(min(n, _CHUNK) for n in shape[-2:]))


def _compressors(name: str) -> Any:
    from zarr.codecs import GzipCodec, ZstdCodec

    if name == "none":
        return None
    return ZstdCodec(level=1) if name == "zstd" else GzipCodec(level=1)


# OME --------------------------------------------------------------------------------


def _metadata(
    plan: ExportPlan, file: PlannedFile, layout: ZarrLayout, shapes: list[Shape]
) -> dict[str, Any]:
    """Return the attribute ``ome``."""
    channel_axis = plan.source.channel_axis
    sizes_of_file = [n for i, n in enumerate(file.shape) if i != channel_axis]
    corner = ome_origin(file.to_world, sizes_of_file)
    spatial = dict(
        zip(
            plan.source.spatial_names,
            zip(file.pixel_size, corner, plan.units, strict=True),
            strict=True,
        )
    )
    axes, sizes, origins = [], [], []
    for axis_name, name, kind in zip(
        layout.axis_names, layout.names, layout.kinds, strict=True
    ):
        size, origin, unit = spatial.get(axis_name, (1.0, -0.5, None))
        axis = {"name": name, "type": kind}
        if unit_name := ngff_unit(unit):
            axis["unit"] = unit_name
        axes.append(axis)
        sizes.append(size)
        origins.append(origin)
    datasets = []
    for number, shape in enumerate(shapes):
        scale = np.asarray(sizes) * np.divide(shapes[0], shape)
        # Of the centre of the first pixel, which is larger at coarser levels.
        place = np.asarray(origins) + scale / 2
        datasets.append(
            {
                "path": str(number),
                "coordinateTransformations": [
                    {"type": "scale", "scale": scale.tolist()},
                    {"type": "translation", "translation": place.tolist()},
                ],
            }
        )
    multiscale: dict[str, Any] = {
        "name": file.name or plan.source.name,
        "axes": axes,
        "datasets": datasets,
    }
    found: dict[str, Any] = {"version": _VERSION, "multiscales": [multiscale]}
    if plan.source.is_labels:
        found["image-label"] = {}
        multiscale["type"] = "mode"
    elif len(shapes) > 1:
        multiscale["type"] = "mean"
    if channels := _channels(plan):
        found["omero"] = {"channels": channels}
    return found


def _channels(plan: ExportPlan) -> list[dict[str, Any]]:
    """Return names and colours, if there are any."""
    names, colors = plan.source.channel_names, plan.source.channel_colors
    if plan.channels is None or not (names or colors or plan.is_rgb):
        return []
    dtype = plan.source.dtype
    limits = np.iinfo(dtype) if dtype.kind in "iu" else None
    low, high = (int(limits.min), int(limits.max)) if limits else (0.0, 1.0)
    window = {"start": max(low, 0), "end": high, "min": low, "max": high}
    channels = []
    for position, i in enumerate(plan.channels):
        color = "FFFFFF"
        if colors:
            color = "".join(f"{round(min(max(c, 0), 1) * 255):02X}" for c in colors[i])
        elif plan.is_rgb:
            color = _RGB[position]
        channel: dict[str, Any] = {"color": color, "window": window, "active": True}
        if names:
            channel["label"] = names[i]
        channels.append(channel)
    return channels
