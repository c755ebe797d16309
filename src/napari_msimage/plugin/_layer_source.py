"""One layer to be written: its pixels, axes, units, place and looks, checked.

Nothing here reads a pixel.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError, UnsupportedError
from ._axis_labels import axis_names, default_names, given_labels
from ._layer_transform import (
    attributes_to_placement,
    placement_to_matrix,
    zoom_placement,
)
from ._looks import attributes_to_hints, layer_attributes
from ._pixel_views import ConvertedPixels, stored_pixels
from ._placement import check_matrix, level_matrix
from ._units import units_of_layer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._hint_fields import Placement
    from ._hints import ChannelHints
    from ._placement import FloatArray

#: Which levels of a multiscale layer are written.
Levels: TypeAlias = "Literal['all', 'current'] | int"

WRITTEN_TYPES: Final = ("image", "labels")
_CONVERTED: Final = {"bool": "uint8", "float16": "float32"}
_STORABLE: Final = re.compile(r"u?int(8|16|32|64)|float(32|64)")


@dataclasses.dataclass(frozen=True, slots=True)
class LayerSource:
    """A layer, checked, as far as it can be known without its pixels."""

    name: str
    """Name of the layer; "" without one."""
    is_labels: bool
    """Whether it is a labels layer."""
    rgb: bool
    """Whether the last axis of the arrays holds colours."""
    levels: tuple[Any, ...]
    """Finest first; napari's axis order, colours last; lazy."""
    dtype: np.dtype[Any]
    """Pixel type as stored."""
    is_complete: bool
    """Whether it is multiscale, and no level was for the display only."""
    channel_axis: int | None
    """Position of the channel axis in the arrays; the last one for colours."""
    axis_names: tuple[str, ...]
    """Spatial axes as stored, napari's order (z, y, x)."""
    axis_labels: tuple[str | None, ...]
    """The same as the layer names them; None for napari's own defaults."""
    units: tuple[str, ...]
    """One per spatial axis."""
    matrix: FloatArray
    """Data to world, (n_axes + 1, n_axes + 1), spatial axes in napari's order."""
    placement: Placement | None
    """The same as napari was given it; None where a level or channels changed it."""
    hints: ChannelHints
    """How it looks."""
    uri: str | None
    """The SOMA image that it was read from."""
    notes: tuple[str, ...]
    """What is stored differently, as sentences."""

    def named_in(self, names: Sequence[str]) -> LayerSource:
        """Return the layer with hints on axis labels that differ from stored names."""
        pairs = zip(self.axis_labels, names, strict=True)
        labels = tuple(name if label is None else label for label, name in pairs)
        hint = None if labels == tuple(names) else labels
        hints = self.hints.model_copy(update={"axis_labels": hint})
        return dataclasses.replace(self, hints=hints)

    @property
    def subject(self) -> str:
        """What messages call the layer."""
        return subject_of(self.name, self.is_labels)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the levels."""
        return tuple(tuple(int(n) for n in level.shape) for level in self.levels)


def subject_of(name: str, is_labels: bool) -> str:
    """Return what messages call a layer, to begin a sentence with."""
    kind = "labels" if is_labels else "image"
    return f"The {kind} layer {name!r}" if name else f"The {kind} layer without a name"


def within_sentence(subject: str) -> str:
    """Return what messages call a layer where no sentence begins."""
    return subject[:1].lower() + subject[1:]


def layer_parts(layer: Any) -> tuple[Any, dict[str, Any], str]:
    """Return a layer's data, attributes and type.

    Parameters
    ----------
    layer : napari layer or layer tuple
        A tuple is ``(data,)``, ``(data, attributes)`` or ``(data, attributes, type)``.

    Raises
    ------
    ArgumentTypeError
        If it is neither.
    """
    if hasattr(layer, "as_layer_data_tuple"):
        attributes = layer_attributes(layer)
        if attributes.get("multiscale"):
            attributes["data_level"] = layer.data_level
        return layer.data, attributes, str(layer._type_string)
    if not isinstance(layer, tuple) or not 1 <= len(layer) <= 3:
        msg = (
            f"Expected napari layers or tuples (data, attributes, type), got "
            f"{type(layer).__name__}."
        )
        raise ArgumentTypeError(msg)
    attributes = dict(layer[1] or {}) if len(layer) > 1 else {}
    return layer[0], attributes, str(layer[2]) if len(layer) > 2 else "image"


def read_source(
    data: Any,
    attributes: Mapping[str, Any],
    kind: str,
    *,
    levels: Levels = "all",
    channel_axis: int | None = None,
) -> LayerSource:
    """Return a checked layer.

    Parameters
    ----------
    data, attributes, kind
        As of `layer_parts`; the type is "image" or "labels".
    levels : "all", "current" or int
        What of a multiscale layer becomes the finest level; coarser ones follow it.
        "current" is the locked level, or the one on the screen.
    channel_axis : int, optional
        Position of the channel axis in an image that is not RGB.

    Raises
    ------
    ArgumentError
        If the layer is empty, has no such level, or a transform or unit that makes no
        sense.
    ArgumentTypeError
        If the data is no array, or of a type that SOMA images cannot hold.
    UnsupportedError
        If it has more axes than SOMA images.
    """
    is_labels = kind == "labels"
    name = str(attributes.get("name") or "")
    subject = subject_of(name, is_labels)
    pyramid, is_multiscale = levels_of(data, attributes, subject)
    check_not_empty(pyramid, subject)
    rgb = not is_labels and is_rgb_layer(attributes, pyramid[0])
    dtype = _stored_dtype(pyramid[0], subject)
    if is_labels and dtype.kind not in "ui":
        msg = f"{subject} has pixels of type {dtype}; labels are integers."
        raise ArgumentTypeError(msg)
    n_axes = len(pyramid[0].shape) - rgb
    units = units_of_layer(attributes.get("units"), n_axes, subject)
    placement = attributes_to_placement(attributes, n_axes, subject)
    matrix = check_matrix(placement_to_matrix(placement, n_axes), subject)
    names, notes = axis_names(attributes.get("axis_labels"), n_axes, subject)
    hints, lost = attributes_to_hints(attributes, is_labels=is_labels, rgb=rgb)
    source = LayerSource(
        name=name,
        is_labels=is_labels,
        rgb=rgb,
        levels=tuple(pyramid),
        dtype=dtype,
        is_complete=is_multiscale,
        channel_axis=n_axes if rgb else None,
        axis_names=names,
        axis_labels=given_labels(attributes.get("axis_labels"), n_axes),
        units=units,
        matrix=matrix,
        placement=placement,
        hints=hints,
        uri=_uri_of(attributes),
        notes=(*notes, *_sentences(lost, subject)),
    )
    source = _with_levels(source, _first_level(levels, source, attributes))
    if channel_axis is not None and not (rgb or is_labels):
        source = _with_channel_axis(source, channel_axis)
    _check_n_axes(source)
    return _with_stored_pixels(source)


# Pixels ---------------------------------------------------------------------------


def levels_of(
    data: Any, attributes: Mapping[str, Any], subject: str
) -> tuple[list[Any], bool]:
    """Return the levels of a layer's data, and whether it is multiscale.

    Raises
    ------
    ArgumentError
        If there is no level, or it is neither an image nor levels.
    ArgumentTypeError
        If a level is no array.
    """
    from napari.layers.image._image_utils import guess_multiscale

    is_multiscale = attributes.get("multiscale")
    if is_multiscale is None and _is_list_of_arrays(data):
        try:
            is_multiscale, data = guess_multiscale(data)
        except (ValueError, TypeError, AttributeError) as err:
            msg = f"{subject} has data that is neither an image nor levels: {err}"
            raise ArgumentError(msg) from err
    levels = list(data) if is_multiscale else [data]
    if not levels:
        msg = f"{subject} has no data; remove the layer, or give it some."
        raise ArgumentError(msg)
    return [_as_array(level, subject) for level in levels], bool(is_multiscale)


def _is_list_of_arrays(data: Any) -> bool:
    """Tell whether data is a list of arrays, or napari's levels."""
    if isinstance(data, list | tuple):
        return len(data) > 0 and hasattr(data[0], "shape")
    return hasattr(data, "shapes")


def _as_array(level: Any, subject: str) -> Any:
    """Return an array-like; lists become numpy arrays."""
    if isinstance(level, list | tuple) and not _is_list_of_arrays(level):
        level = np.asarray(level)
    if not all(hasattr(level, a) for a in ("shape", "dtype", "__getitem__")):
        msg = (
            f"{subject} has data of type {type(level).__name__}; expected an array "
            "with shape, dtype and slicing, such as numpy, dask or zarr, or a list of "
            "levels that get smaller."
        )
        raise ArgumentTypeError(msg)
    return level


def is_rgb_layer(attributes: Mapping[str, Any], level: Any) -> bool:
    """Tell whether the last axis of an image layer's arrays holds colours."""
    from napari.layers.image._image_utils import guess_rgb

    rgb = attributes.get("rgb")
    shape = tuple(level.shape)
    return bool(guess_rgb(shape) if rgb is None else rgb) and len(shape) > 1


def check_not_empty(levels: Sequence[Any], subject: str) -> None:
    """Refuse levels without pixels, or of a size that is not known."""
    for level in levels:
        # dask does not know the sizes of what a mask picked
        if any(size != size for size in level.shape):
            msg = (
                f"{subject} has a shape that is not known before it is computed: "
                f"{tuple(level.shape)}. Call compute_chunk_sizes() of the dask array "
                "first."
            )
            raise ArgumentError(msg)
        if not level.shape or 0 in tuple(level.shape):
            msg = (
                f"{subject} has no pixels: its shape is {tuple(level.shape)}. Leave it "
                "out."
            )
            raise ArgumentError(msg)


def _stored_dtype(level: Any, subject: str) -> np.dtype[Any]:
    """Return the type to store a layer's pixels in."""
    try:
        dtype = np.dtype(level.dtype)
    except TypeError:
        dtype = np.dtype(object)
    name = _CONVERTED.get(dtype.name, dtype.name)
    if not _STORABLE.fullmatch(name):
        msg = (
            f"{subject} has pixels of type {level.dtype}; SOMA images hold integers of "
            "8 to 64 bits, float32 and float64. Convert it first, for instance "
            "np.abs of complex numbers."
        )
        raise ArgumentTypeError(msg)
    stored: np.dtype[Any] = np.dtype(name)
    return stored


def _with_stored_pixels(source: LayerSource) -> LayerSource:
    """Leave out levels that are for the display only; convert types."""
    pairs = [stored_pixels(level) for level in source.levels]
    # the finest was asked for, whatever it is
    kept = [pixels for i, (pixels, is_stored) in enumerate(pairs) if is_stored or not i]
    given = np.dtype(kept[0].dtype)
    notes = source.notes
    if given.name in _CONVERTED:
        kept = [ConvertedPixels(pixels, source.dtype) for pixels in kept]
        what = f"{given.name} pixels as {source.dtype.name}"
        notes += (f"{source.subject} is stored with {what}; no value changes.",)
    return dataclasses.replace(
        source,
        levels=tuple(kept),
        is_complete=source.is_complete and len(kept) == len(pairs),
        notes=notes,
    )


# Levels ---------------------------------------------------------------------------


def _first_level(
    levels: Levels, source: LayerSource, attributes: Mapping[str, Any]
) -> int:
    """Return which of a layer's levels becomes the finest one."""
    if levels not in ("all", "current") and not hasattr(levels, "__index__"):
        msg = f"levels must be 'all', 'current' or the number of one, got {levels!r}"
        raise ArgumentError(msg)
    if levels == "all" or not source.is_complete:
        return 0
    wished: Any = levels
    if levels == "current":
        wished = attributes.get("locked_data_level")
        wished = attributes.get("data_level", 0) if wished is None else wished
    n = len(source.levels)
    if isinstance(wished, bool | str) or not -n <= int(wished) < n:
        msg = (
            f"{source.subject} has {n} levels, 0 to {n - 1}; level {wished!r} was "
            "asked for. Use 'all', 'current' or one of these."
        )
        raise ArgumentError(msg)
    return int(wished) % n


def _with_levels(source: LayerSource, first: int) -> LayerSource:
    """Return the layer without the levels before one, in the same place."""
    if not first:
        return source
    n_axes = len(source.axis_names)
    finest, level = source.shapes[0][:n_axes], source.shapes[first][:n_axes]
    factors = [a / b for a, b in zip(finest, level, strict=True)]
    return dataclasses.replace(
        source,
        levels=source.levels[first:],
        matrix=level_matrix(source.matrix, finest, level),
        placement=source.placement and zoom_placement(source.placement, factors),
    )


# Axes -----------------------------------------------------------------------------


def checked_channel_axis(axis: int, n_axes: int, subject: str) -> int:
    """Return a channel axis counted from the first one; refuse what is no axis."""
    if isinstance(axis, bool) or not -n_axes <= axis < n_axes:
        msg = (
            f"{subject} has {n_axes} axes, 0 to {n_axes - 1}; axis {axis!r} cannot be "
            "its channel axis."
        )
        raise ArgumentError(msg)
    return axis % n_axes


def _with_channel_axis(source: LayerSource, axis: int) -> LayerSource:
    """Return the layer with one of its axes taken for the channels."""
    n_axes = len(source.axis_names)
    axis = checked_channel_axis(axis, n_axes, source.subject)
    others = [i for i in range(n_axes) if i != axis]
    matrix = source.matrix
    if matrix[axis, others].any() or matrix[others, axis].any():
        msg = (
            f"{source.subject} is turned or sheared along axis {axis}, so that it "
            "cannot be its channel axis."
        )
        raise ArgumentError(msg)
    sizes = {shape[axis] for shape in source.shapes}
    if len(sizes) > 1:
        msg = (
            f"The levels of {within_sentence(source.subject)} have {sorted(sizes)} "
            f"pixels along axis {axis}; along a channel axis all levels have the same "
            "number."
        )
        raise ArgumentError(msg)
    kept = [*others, n_axes]
    names, _ = axis_names(
        [source.axis_names[i] for i in others], n_axes - 1, source.subject
    )
    # defaults count the channel axis as spatial
    are_shifted = source.axis_names == default_names(n_axes)
    return dataclasses.replace(
        source,
        channel_axis=axis,
        axis_names=default_names(n_axes - 1) if are_shifted else names,
        axis_labels=tuple(source.axis_labels[i] for i in others),
        units=tuple(source.units[i] for i in others),
        matrix=matrix[np.ix_(kept, kept)],
        placement=None,
    )


def _check_n_axes(source: LayerSource) -> None:
    n_axes = len(source.axis_names)
    if n_axes in (2, 3):
        return
    axes = f"{n_axes} axes ({', '.join(source.axis_names)})"
    if n_axes < 2:
        msg = (
            f"{source.subject} has {axes} beside channels; a SOMA image needs 2 or 3 "
            "spatial axes. Give it a leading axis of size 1, or another channel axis."
        )
    else:
        msg = (
            f"{source.subject} has {axes}; a SOMA image has 2 or 3 spatial axes and, "
            "if it is not labels, one channel axis. If one of them is channels, say "
            "which with channel_axis=...; save points in time one by one."
        )
    raise UnsupportedError(msg)


# Words ----------------------------------------------------------------------------


def _uri_of(attributes: Mapping[str, Any]) -> str | None:
    from ._layers import LAYER_METADATA_KEY

    metadata = attributes.get("metadata")
    entry = metadata.get(LAYER_METADATA_KEY) if isinstance(metadata, dict) else None
    uri = entry.get("uri") if isinstance(entry, dict) else None
    return uri if isinstance(uri, str) else None


def _sentences(lost: Sequence[str], subject: str) -> tuple[str, ...]:
    if not lost:
        return ()
    shown = ", ".join(lost[:5]) + (" and more" if len(lost) > 5 else "")
    return (f"{subject} has what cannot be stored, and is left out: {shown}.",)
