"""Exported files as layer tuples where their pixels came from; no Qt.

All facts come from the plan: readers of other plugins have their own ideas of axes,
channels and place, and files leave some of it out.
"""

from __future__ import annotations

import importlib.util
import math
import os
import weakref
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import DoesNotExistError, FormatError, SOMAError, StorageError
from ..storage import CHANNEL_AXIS, is_local
from ._colormaps import default_colormaps
from ._contrast import find_contrast_limits
from ._layer_transform import placement_arguments
from ._layers import unguessed
from ._open import OpenRequest, read_layers
from ._placement import image_matrix
from ._units import PIXEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engines import ExportPlan, PlannedFile
    from ._layers import LayerTuple

#: Channels of colours that have an alpha channel already.
_N_WITH_ALPHA: Final = 4


def exported_layers(plan: ExportPlan, file: PlannedFile) -> list[LayerTuple]:
    """Return the layers of an exported file; in a thread, for it may read pixels.

    World coordinates are those of the layers that were exported: channels become a
    layer each, colours one layer, labels a labels layer.

    Parameters
    ----------
    plan : ExportPlan
        What was written; its levels may be empty.
    file : PlannedFile
        Which file of it.

    Returns
    -------
    list of layer tuples
        Bottom to top. Pixels of several planes, and of files with coarser levels, are
        read when they are shown.

    Raises
    ------
    DoesNotExistError
        If the file was moved or deleted meanwhile.
    FormatError
        If other pixels are there now.
    SOMAError
        If it cannot be read.
    """
    path = file.path
    if is_local(path) and not os.path.exists(path):
        msg = (
            f"{path!r} is not there any more; it was moved or deleted after the "
            "export. Export it again, or open it from where it is now."
        )
        raise DoesNotExistError(msg)
    try:
        if plan.format == "soma":
            return read_layers(OpenRequest(path, context=plan.context))
        return _layers(plan, file, _levels(plan, file))
    except (SOMAError, MemoryError):
        raise
    except Exception as err:  # the packages for other formats raise any kind
        msg = f"{path!r} was written, but it cannot be opened: {err}"
        raise StorageError(msg) from err


# Pixels ---------------------------------------------------------------------------


def _levels(plan: ExportPlan, file: PlannedFile) -> list[Any]:
    """Return the levels of a file with all axes of the image, as far as it has them.

    Returns
    -------
    list of numpy or dask arrays
        Finest first; axes as of `_axes`.
    """
    read = {
        "ome-tiff": _tiff_levels,
        "ome-zarr": _zarr_levels,
        "png": _png_levels,
        "npy": _npy_levels,
    }[plan.format]
    levels = read(file.path)
    sizes = dict(zip(plan.source.axis_names, file.shape, strict=True))
    if plan.options.alpha:
        n_channels = sizes.get(CHANNEL_AXIS, 1)
        # gray becomes colours, the only ones that napari shows transparent
        sizes[CHANNEL_AXIS] = max(n_channels, _N_WITH_ALPHA)
    wanted = tuple(sizes[name] for name in _axes(plan))
    # readers leave out axes of one pixel
    if [n for n in levels[0].shape if n > 1] != [n for n in wanted if n > 1]:
        found, planned = (
            " x ".join(str(n) for n in shape if n > 1) or "1"
            for shape in (levels[0].shape, wanted)
        )
        msg = (
            f"{file.path!r} holds {found} pixels, {planned} were exported: it was "
            "replaced meanwhile. Open it by File > Open."
        )
        raise FormatError(msg)
    return [_with_axes(level, levels[0].shape, wanted) for level in levels]


def _axes(plan: ExportPlan) -> tuple[str, ...]:
    """Return the axes of the arrays in a file, those of one pixel among them."""
    if plan.format != "png":
        return plan.file_axes
    has_channels = CHANNEL_AXIS in plan.file_axes or plan.options.alpha
    return (*_shown_axes(plan), CHANNEL_AXIS) if has_channels else _shown_axes(plan)


def _with_axes(level: Any, finest: Sequence[int], wanted: Sequence[int]) -> Any:
    """Return a level with the axes of one pixel that the finest level lacks."""
    sizes = iter([n for n, size in zip(level.shape, finest, strict=True) if size > 1])
    return level.reshape([1 if size == 1 else next(sizes) for size in wanted])


def _npy_levels(path: str) -> list[Any]:
    return [np.load(path, mmap_mode="r")]


def _png_levels(path: str) -> list[Any]:
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        is_transparent_gray = image.mode == "LA"
        return [np.asarray(image.convert("RGBA") if is_transparent_gray else image)]


def _zarr_levels(path: str) -> list[Any]:
    import zarr

    group = zarr.open_group(path, mode="r")
    attributes: Any = group.attrs["ome"]
    datasets = attributes["multiscales"][0]["datasets"]
    return [_lazy(group[one["path"]]) for one in datasets]


def _tiff_levels(path: str) -> list[Any]:
    """Return the levels of a TIFF; without zarr, the finest one in memory."""
    import tifffile

    if importlib.util.find_spec("zarr") is None:
        with tifffile.TiffFile(path) as file:
            return [file.series[0].asarray()]
    import zarr

    file = tifffile.TiffFile(path)
    # all axes that OME knows: a coarser level may be one pixel deep
    store = file.series[0].aszarr(squeeze=False)
    weakref.finalize(store, file.close)
    opened: Any = zarr.open(store, mode="r")
    if isinstance(opened, zarr.Array):
        return [_lazy(opened)]
    # not every version can list what is in the group
    return [_lazy(opened[str(index)]) for index in range(len(file.series[0].levels))]


def _lazy(array: Any) -> Any:
    """Return a view of an array of zarr that can be transposed."""
    import dask.array

    from_array: Any = dask.array.from_array
    # not named by its content: another file may be there under this name tomorrow
    return from_array(array, chunks=array.chunks, name=False)


# Layers ---------------------------------------------------------------------------


def _layers(
    plan: ExportPlan, file: PlannedFile, levels: Sequence[Any]
) -> list[LayerTuple]:
    """Return levels as layers, channels split."""
    axes, shown = _axes(plan), _shown_axes(plan)
    name = os.path.basename(file.path)
    attributes = _place(plan, file)
    if CHANNEL_AXIS not in axes:
        levels = [_ordered(level, axes, shown) for level in levels]
        if plan.source.is_labels:
            return [_labels(levels, {**attributes, "name": name})]
        colors = plan.source.channel_colors
        attributes["colormap"] = _colormap(colors[0]) if colors else "gray"
        return [_image(levels, {**attributes, "name": name}, len(shown))]
    levels = [_ordered(level, axes, (*shown, CHANNEL_AXIS)) for level in levels]
    if plan.source.is_labels:  # with what is outside of a region transparent
        levels = [level[..., 0] * (level[..., -1] > 0) for level in levels]
        return [_labels(levels, {**attributes, "name": name})]
    if plan.is_rgb or plan.options.alpha:
        attributes |= {"rgb": True, "name": name}
        return [_image(levels, attributes, len(shown))]
    channels = zip(*_channel_looks(plan), strict=True)
    return [
        _image(
            [level[..., index] for level in levels],
            {
                **attributes,
                "name": f"{name} {channel}",
                "colormap": colormap,
                "blending": "additive",
            },
            len(shown),
        )
        for index, (channel, colormap) in enumerate(channels)
    ]


def _shown_axes(plan: ExportPlan) -> tuple[str, ...]:
    """Return the spatial axes in napari's order."""
    source = plan.source
    names = source.coordinate_names
    return source.spatial_names if names is None else names[::-1]


def _ordered(level: Any, axes: Sequence[str], wanted: Sequence[str]) -> Any:
    return level.transpose([axes.index(name) for name in wanted])


def _place(plan: ExportPlan, file: PlannedFile) -> dict[str, Any]:
    """Return napari's arguments for where the pixels lie."""
    source, shown = plan.source, _shown_axes(plan)
    order = [source.spatial_names.index(name) for name in shown]
    every = [*order, len(order)]
    matrix = file.to_world[np.ix_(every, every)] @ image_matrix(len(order))
    return {
        **placement_arguments(None, matrix, len(order)),
        "units": tuple(source.units[axis] or PIXEL for axis in order),
    }


def _channel_looks(plan: ExportPlan) -> tuple[list[str], list[str]]:
    """Return names and colormaps of the channels."""
    source, channels = plan.source, plan.channels or ()
    names, colors = source.channel_names, source.channel_colors
    return (
        [names[i] if names else str(i) for i in channels],
        [_colormap(colors[i]) for i in channels]
        if colors
        else list(default_colormaps(len(channels))),
    )


def _colormap(color: Sequence[float]) -> str:
    """Return what napari calls the colormap from black to a colour."""
    return "#" + "".join(f"{round(255 * min(max(c, 0.0), 1.0)):02x}" for c in color)


def _image(levels: list[Any], attributes: dict[str, Any], n_axes: int) -> LayerTuple:
    """Return an image layer; what napari would read at once is read here."""
    first = levels[0]
    is_one = len(levels) == 1
    n_planes = math.prod(first.shape[: n_axes - 2])
    if is_one and n_planes == 1 and not isinstance(first, np.ndarray):
        levels = [np.asarray(first)]
    # of 8 bits napari shows all; else it would look for them in the window's thread
    needs_limits = first.dtype.kind in "fiu" and first.dtype.itemsize > 1
    if needs_limits and "rgb" not in attributes:
        attributes["contrast_limits"] = find_contrast_limits(levels[-1])
    attributes["multiscale"] = not is_one
    return (levels[0] if is_one else levels), attributes, "image"


def _labels(levels: list[Any], attributes: dict[str, Any]) -> LayerTuple:
    """Return a labels layer; that of one level can be painted on."""
    if len(levels) == 1:
        return np.array(levels[0]), {**attributes, "multiscale": False}, "labels"
    return unguessed(levels), {**attributes, "multiscale": True}, "labels"
