"""A region of a level as new napari layers: lazy views in the same place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import ArgumentTypeError, LevelIndexError
from ._export_layer import layers_to_export
from ._export_outline import level_box
from ._layer_source import layer_parts
from ._layer_transform import placement_arguments
from ._layers import LAYER_METADATA_KEY, unguessed
from ._level_view import LevelView
from ._placement import augmented, level_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ..engines import ImageRegion
    from ._export_layer import ExportLayer
    from ._layers import LayerTuple

#: Attributes of a layer that say where it lies, or which of its levels is shown.
_REPLACED: Final = (
    *("scale", "translate", "rotate", "shear", "affine"),
    *("locked_data_level", "data_level", "multiscale", "name", "metadata"),
    *("contrast_limits_range", "contour", "visible", "experimental_clipping_planes"),
)
#: Libraries whose arrays are views until they are converted.
_LAZY: Final = ("numpy", "dask", "napari_msimage")


def region_layers(
    export: ExportLayer, region: ImageRegion, level: int, layers: Sequence[Any]
) -> list[LayerTuple]:
    """Return layers that show a region of a level where it lies; nothing is copied.

    Parameters
    ----------
    export : ExportLayer
        The image.
    region : ImageRegion
        What is shown.
    level : int
        Of which level; its pixels are the new layers' pixels.
    layers : sequence of napari layers
        Layers of that image.

    Returns
    -------
    list of layer tuples
        One per layer: labels stay labels; colours, contrast and the rest as they were.

    Raises
    ------
    LevelIndexError
        If there is no such level.
    RegionError
        If the region lies outside of the image.
    """
    box = level_box(export.source, region, level)
    index = level % len(export.source.levels)
    return [_region_layer(export, box, index, layer, region.name) for layer in layers]


def _region_layer(
    export: ExportLayer,
    box: tuple[tuple[int, int], ...],
    level: int,
    layer: Any,
    name: str,
) -> LayerTuple:
    data, attributes, kind = layer_parts(layer)
    pixels = (
        layers_to_export([layer]).source.levels[level]
        if _is_plain(export)
        else _level_of(data, attributes, level)
    )
    n_axes = export.n_axes
    start = np.zeros(n_axes)
    finest, shape = [1] * n_axes, [1] * n_axes
    key = [slice(None)] * len(pixels.shape)
    for axis, layer_axis in enumerate(export.axes):
        first, stop = box[axis]
        start[layer_axis] = first
        key[layer_axis] = slice(first, stop)
        finest[layer_axis] = export.shapes[0][axis]
        shape[layer_axis] = export.shapes[level][axis]
    for taken in export.taken:
        pixel = taken.pixel_of(level)
        start[taken.axis] = pixel
        key[taken.axis] = slice(pixel, pixel + 1)
        finest[taken.axis], shape[taken.axis] = taken.sizes[0], taken.sizes[level]
    matrix = level_matrix(export.matrix, finest, shape)
    matrix = matrix @ augmented(np.eye(n_axes), start)
    kept = {name: v for name, v in attributes.items() if name not in _REPLACED}
    metadata = attributes.get("metadata")
    own = metadata if isinstance(metadata, dict) else {}
    kept |= {
        "name": " ".join(filter(None, (str(attributes.get("name") or ""), name))),
        "metadata": {k: v for k, v in own.items() if k != LAYER_METADATA_KEY},
        "multiscale": True,
        **placement_arguments(None, matrix, n_axes),
    }
    levels = [_cropped(pixels, tuple(key), _failures_of(data, attributes))]
    return (unguessed(levels) if kind == "labels" else levels), kept, kind


def _is_plain(export: ExportLayer) -> bool:
    """Tell whether the axes of the source are those of the layer."""
    return len(export.axes) == export.n_axes


def _level_of(data: Any, attributes: Any, level: int) -> Any:
    return data[level] if attributes.get("multiscale") else data


def _failures_of(data: Any, attributes: Any) -> Any:
    """Return the record of failed reads that a layer of ours has."""
    first = _level_of(data, attributes, 0)
    return first.failures if isinstance(first, LevelView) else None


def _cropped(pixels: Any, key: tuple[slice, ...], failures: Any) -> Any:
    """Return a box of a level as an array that reads when it is converted."""
    room = type(pixels).__module__.partition(".")[0]
    is_cut = isinstance(pixels, CroppedPixels)
    if room not in _LAZY or is_cut or not hasattr(pixels, "ndim"):
        return CroppedPixels(pixels, key)
    part = pixels[key]
    is_ours = room == "napari_msimage" and not isinstance(part, LevelView)
    return LevelView(part, failures) if is_ours else part


class CroppedPixels:
    """A box of an array-like; indexing reads a part of it.

    Parameters
    ----------
    pixels : array-like
        Shape, dtype, and indexing by slices, which may read.
    box : tuple of slice
        One per axis, in steps of 1.
    """

    def __init__(self, pixels: Any, box: tuple[slice, ...]) -> None:
        self._pixels = pixels
        self._ranges = [
            range(*part.indices(int(size)))
            for part, size in zip(box, pixels.shape, strict=True)
        ]

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return tuple(len(part) for part in self._ranges)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type."""
        dtype: np.dtype[Any] = np.dtype(self._pixels.dtype)
        return dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._ranges)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        """Read pixels; integers, slices and one Ellipsis, as in numpy."""
        parts = key if isinstance(key, tuple) else (key,)
        if Ellipsis in parts:
            at = parts.index(Ellipsis)
            n_left = self.ndim - len(parts) + 1
            parts = (*parts[:at], *(slice(None),) * n_left, *parts[at + 1 :])
        parts = (*parts, *(slice(None),) * (self.ndim - len(parts)))
        if len(parts) > self.ndim:
            msg = f"{len(parts)} indices were given for {self.ndim} axes."
            raise LevelIndexError(msg)
        read, then = [], []
        for part, whole in zip(parts, self._ranges, strict=True):
            box, rest = _box_and_rest(part, whole)
            read.append(box)
            then.append(rest)
        pixels: npt.NDArray[Any] = np.asarray(self._pixels[tuple(read)])
        found: npt.NDArray[Any] = pixels[tuple(then)]
        return found

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """Read all pixels."""
        pixels = self[...]
        return pixels if dtype is None else pixels.astype(dtype, copy=False)


def _box_and_rest(part: Any, whole: range) -> tuple[slice, Any]:
    """Return what to read along an axis, and the index into that."""
    if isinstance(part, slice):
        wanted = whole[part]
        if not len(wanted):
            return slice(whole.start, whole.start), slice(None)
        first, last = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])
        return slice(first, last + 1), slice(None, None, wanted.step)
    if not hasattr(part, "__index__"):
        msg = f"Pixels are indexed by integers and slices, got {part!r}."
        raise ArgumentTypeError(msg)
    try:
        at = whole[part]
    except IndexError as err:
        msg = f"Index {part} is out of bounds for an axis of {len(whole)} pixels."
        raise LevelIndexError(msg) from err
    return slice(at, at + 1), 0
