"""Mapping between a multiscale image and napari layers; pure, reads no pixels.

napari's axes are the coordinate space's axes in reverse order (x, y, z gives z, y, x),
whatever the stored order. World coordinates equal the image's coordinate space, or
that of a scene; the half pixel between a centre in napari and SOMA's edges is added
and taken away in ``_placement.py`` only.

In 2-D and 3-D alike, napari 0.9 puts all levels over the same extent: level k's pixels
are reference size ÷ level size large, the ratio that SOMA's transforms have. Along an
axis that is sliced it rounds the divided position, so that a coarse plane shows up to
half its thickness before its own range begins.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import numpy as np

from ..errors import UnsupportedError
from ._colormaps import default_colormaps, usable_colormap
from ._hints import DisplayHints
from ._layer_transform import placement_arguments
from ._look_arguments import late_attributes, look_arguments, own_colormap
from ._units import unit_for_napari

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..coordinates import CoordinateSpace
    from ._hint_fields import LayerHints
    from ._placement import FloatArray

LayerTuple: TypeAlias = "tuple[Any, dict[str, Any], str]"

#: Name of the channel axis in a data axis order.
CHANNEL_AXIS: Final = "soma_channel"
#: Key of our entry in ``layer.metadata``.
LAYER_METADATA_KEY: Final = "napari_msimage"
#: Without hints, channels after these start hidden: each shown one costs a read.
_MAX_VISIBLE: Final = 8
_MAX_SPATIAL: Final = 3
#: Pixel types that napari's colour textures take, float64 as float32.
COLOUR_TYPES: Final = ("uint8", "uint16", "float32", "float64")


class InSpace(Protocol):
    """What has a coordinate space."""

    @property
    def coordinate_space(self) -> CoordinateSpace: ...


class ImageFacts(InSpace, Protocol):
    """What the mapping asks of a multiscale image."""

    @property
    def data_axis_order(self) -> tuple[str, ...]: ...
    @property
    def has_channel_axis(self) -> bool: ...
    @property
    def nchannels(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...


class Level(Protocol):
    """What the mapping asks of a level: array facts, indexing, transposing."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __getitem__(self, key: Any) -> Any: ...
    def transpose(self, axes: Sequence[int]) -> Any: ...


# Axes and units -------------------------------------------------------------------


def display_axes(image: InSpace) -> tuple[str, ...]:
    """Return the names of the layers' axes: the space's axes, reversed.

    napari needs two axes: an image with one is shown as a row, which gets an axis of
    size 1 in front.
    """
    names = _spatial_axes(image)
    return names if len(names) > 1 else ("row" if names[0] != "row" else "-", *names)


def _spatial_axes(image: InSpace) -> tuple[str, ...]:
    return tuple(axis.name for axis in reversed(image.coordinate_space.axes))


def display_units(image: InSpace) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a unit per axis of `display_axes`, and notes on odd ones.

    Lengths and times that napari knows are passed on; an axis without unit, or with
    one that is not known, is in pixels.

    Returns
    -------
    units : tuple of str
        Names that napari accepts; the row of an image with one axis has that unit too.
    notes : tuple of str
        One sentence per unit that was not understood.
    """
    units, notes = [], []
    for axis in reversed(image.coordinate_space.axes):
        unit = unit_for_napari(axis.unit)
        if unit is None:
            notes.append(
                f"The unit {axis.unit!r} of axis {axis.name!r} is not a known length "
                "or time; the axis is shown in pixels."
            )
        units.append(unit or "pixel")
    return tuple(units * 2 if len(units) == 1 else units), tuple(notes)


# Levels ---------------------------------------------------------------------------


def display_levels_of(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the indices of the levels napari can switch between.

    napari needs sizes that go down. SOMA sorts levels by shape, axis by axis, so a
    later one may equal its predecessor or be larger along some axis: left out.

    Parameters
    ----------
    shapes : sequence of tuple of int, (n_levels, n_axes)
        Level shapes, finest first, all in one axis order.
    """
    kept = [0]
    for index, shape in enumerate(shapes[1:], start=1):
        last = shapes[kept[-1]]
        if shape != last and all(a <= b for a, b in zip(shape, last, strict=True)):
            kept.append(index)
    return tuple(kept)


def channel_view(level: Level, image: ImageFacts, channel: int) -> Any:
    """Return one channel of a level, lazily, with its axes in napari's order.

    Parameters
    ----------
    level : Level
        In data axis order, channel axis included.
    image : ImageFacts
        Whose level it is.
    channel : int
        Index on the channel axis, in ``[0, image.nchannels)``; ignored without one.

    Returns
    -------
    Level
        Spatial axes only, in the order of `display_axes`; reads nothing.
    """
    order = list(image.data_axis_order)
    if image.has_channel_axis:
        axis = order.index(CHANNEL_AXIS)
        level = level[(slice(None),) * axis + (channel,)]
        del order[axis]
    names = _spatial_axes(image)
    return _with_row(level.transpose([order.index(n) for n in names]), names)


def rgb_view(level: Level, image: ImageFacts) -> Any:
    """Return a level, lazily, with axes in napari's order and the channels last."""
    order = list(image.data_axis_order)
    names = _spatial_axes(image)
    axes = [order.index(name) for name in (*names, CHANNEL_AXIS)]
    return _with_row(level.transpose(axes), names)


def _with_row(level: Any, names: tuple[str, ...]) -> Any:
    """Give a level with a single spatial axis a row axis in front."""
    return level[None] if len(names) == 1 else level


# The plan -------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class LayerPlan:
    """One layer to be made of an image."""

    name: str
    """Layer name."""
    channel: int | None
    """Index on the channel axis; None for a colour layer or without such an axis."""
    rgb: bool
    """Whether the channels are colours."""
    colormap: Any = "gray"
    """Name of a napari colormap, ``#rrggbb``, or a napari Colormap."""
    contrast_limits: tuple[float, float] | None = None
    """Black and full colour, in pixel values; None: find them in the pixels."""
    visible: bool = True
    """Whether the layer starts visible."""
    blending: str = "additive"
    """napari's blending mode."""
    is_labels: bool = False
    """Whether the integers are labels."""
    axis_labels: tuple[str, ...] | None = None
    """Its own names of the axes, napari's order; None: those of the image."""
    looks: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """More arguments for napari; they win over those above."""
    late: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Attributes to be set once the layer exists."""
    user_metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """For ``layer.metadata``, beside our own entry."""

    @property
    def kind(self) -> str:
        """Napari's layer type."""
        return "labels" if self.is_labels else "image"

    @property
    def needs_limits(self) -> bool:
        """Whether contrast limits have to be found in the pixels."""
        return not (self.rgb or self.is_labels) and self.contrast_limits is None


@dataclasses.dataclass(frozen=True, slots=True)
class ImagePlan:
    """All layers to be made of an image, and what they share."""

    name: str
    """Name of the image."""
    layers: tuple[LayerPlan, ...]
    """Bottom to top."""
    axis_labels: tuple[str, ...]
    """Spatial axes, napari's order."""
    units: tuple[str, ...]
    """A unit per axis."""
    notes: tuple[str, ...]
    """Sentences the user should see."""
    placement: Mapping[str, Any]
    """napari's arguments for where the layers lie."""


def is_rgb(image: ImageFacts, hints: DisplayHints, rgb: bool | None = None) -> bool:
    """Tell whether an image becomes one colour layer instead of one per channel.

    In this order: what the caller says, what the image's hints say, and else: uint8
    with 3 or 4 channels.

    Parameters
    ----------
    image : ImageFacts
        The image.
    hints : DisplayHints
        Its hints.
    rgb : bool, optional
        The caller's wish.

    Raises
    ------
    UnsupportedError
        If the caller wants colour from an image that cannot be shown so.
    """
    can = (
        image.has_channel_axis
        and image.nchannels in (3, 4)
        and image.dtype.name in COLOUR_TYPES
    )
    if rgb and not can:
        msg = (
            f"An image of {image.nchannels} channels of {image.dtype} cannot be shown "
            "as RGB; that takes 3 or 4 channels of uint8, uint16 or floats."
        )
        raise UnsupportedError(msg)
    if rgb is not None:
        return rgb
    if hints.rgb is not None and (can or not hints.rgb):
        return hints.rgb
    return can and image.dtype == np.uint8


def plan_layers(
    image: ImageFacts,
    hints: DisplayHints | None = None,
    *,
    name: str,
    rgb: bool | None = None,
    matrix: FloatArray | None = None,
    world: InSpace | None = None,
) -> ImagePlan:
    """Decide which layers an image becomes, how they look and where they lie.

    Parameters
    ----------
    image : ImageFacts
        The image.
    hints : DisplayHints, optional
        Its stored hints.
    name : str
        Name of the image, for the layers.
    rgb : bool, optional
        Overrides the rule of `is_rgb`, and that of labels.
    matrix : ndarray, (n_axes + 1, n_axes + 1), optional
        Where a scene puts the image: centres of pixels to world coordinates, axes in
        napari's order. By default world coordinates are image coordinates.
    world : InSpace, optional
        Has the names and units of the world's axes; by default the image.

    Returns
    -------
    ImagePlan
        Complete but for contrast limits that have to be found in the pixels.

    Raises
    ------
    UnsupportedError
        If napari cannot show the pixel type, the number of axes, or the wish for RGB.
    """
    hints = hints or DisplayHints()
    _check_displayable(image)
    units, notes = display_units(world or image)
    layers: tuple[LayerPlan, ...]
    if rgb is None and is_labels(image, hints):
        layers = (_plan_whole(hints, name, is_labels=True),)
    elif is_rgb(image, hints, rgb):
        layers = (_plan_whole(hints, name, is_labels=False),)
    else:
        layers, more = _plan_channels(image, hints, name)
        notes += more
    axes = display_axes(world or image)
    # what a scene remembers of its images is about the scene's coordinates
    is_elsewhere = matrix is None and hints.order is not None
    remembered = None if is_elsewhere else hints.placement
    placement = placement_arguments(remembered, matrix, len(axes))
    return ImagePlan(name, layers, axes, units, notes, placement)


def is_labels(image: ImageFacts, hints: DisplayHints) -> bool:
    """Tell whether an image becomes a labels layer: integers whose hints say so."""
    says_so = hints.layer_type == "labels"
    return says_so and image.dtype.kind in "ui" and not image.has_channel_axis


def _plan_whole(hints: DisplayHints, name: str, *, is_labels: bool) -> LayerPlan:
    """Plan the one layer of colours or labels."""
    hint = hints.layer or hints.channel(0)
    return LayerPlan(
        name=name if hint.layer_name is None else hint.layer_name,
        channel=None,
        rgb=not is_labels,
        visible=hint.visible is not False,
        blending="translucent",
        is_labels=is_labels,
        **_looks_of(hint if hints.layer else None, is_labels=is_labels, rgb=True),
    )


def _looks_of(hint: LayerHints | None, *, is_labels: bool, rgb: bool) -> dict[str, Any]:
    """Return the fields of a plan that hold further looks."""
    if hint is None:
        return {}
    return {
        "axis_labels": hint.axis_labels,
        "looks": look_arguments(hint, is_labels=is_labels),
        "late": late_attributes(hint, is_labels=is_labels, rgb=rgb),
        "user_metadata": hint.user_metadata or {},
    }


def _check_displayable(image: ImageFacts) -> None:
    """Refuse what napari cannot show."""
    if image.dtype.kind not in "uif":
        msg = (
            f"The image's pixels are of type {image.dtype}; napari shows integers and "
            "floats. Read it with MultiscaleImage instead."
        )
        raise UnsupportedError(msg)
    n_spatial = len(image.coordinate_space.axes)
    if n_spatial > _MAX_SPATIAL:
        msg = (
            f"The image has {n_spatial} spatial axes; napari is shown images of 1 to "
            f"{_MAX_SPATIAL}. Read it with MultiscaleImage instead."
        )
        raise UnsupportedError(msg)


def _plan_channels(
    image: ImageFacts, hints: DisplayHints, name: str
) -> tuple[tuple[LayerPlan, ...], tuple[str, ...]]:
    """Plan a layer per channel."""
    n = image.nchannels if image.has_channel_axis else 1
    colormaps = default_colormaps(n)
    layers = []
    for index in range(n):
        hint = hints.channel(index)
        fallback = name if n == 1 else f"{name} channel {index}"
        if hint.name:
            fallback = f"{name} {hint.name}"
        layers.append(
            LayerPlan(
                name=fallback if hint.layer_name is None else hint.layer_name,
                channel=index if image.has_channel_axis else None,
                rgb=False,
                colormap=own_colormap(hint)
                or usable_colormap(hint.colormap)
                or colormaps[index],
                contrast_limits=hint.contrast_limits or _full_range(image.dtype),
                visible=index < _MAX_VISIBLE if hint.visible is None else hint.visible,
                blending="additive",
                **_looks_of(hint, is_labels=False, rgb=False),
            )
        )
    notes = []
    if n > _MAX_VISIBLE and not any(c.visible is not None for c in hints.channels):
        notes.append(
            f"{name} has {n} channels; the first {_MAX_VISIBLE} are shown. Click the "
            "eyes in the layer list for the others."
        )
    if unknown := sorted(
        {c.colormap for c in hints.channels if c.colormap}
        - {c.colormap for c in hints.channels if usable_colormap(c.colormap)}
    ):
        notes.append(f"napari does not have the colormaps {', '.join(unknown)}.")
    return tuple(layers), tuple(notes)


def _full_range(dtype: np.dtype[Any]) -> tuple[float, float] | None:
    return (0.0, 255.0) if dtype == np.uint8 else None


def layer_tuple(
    plan: ImagePlan,
    layer: LayerPlan,
    levels: Sequence[Any],
    *,
    metadata: dict[str, Any] | None = None,
) -> LayerTuple:
    """Return the tuple that napari makes a layer from.

    Parameters
    ----------
    plan, layer : ImagePlan, LayerPlan
        What was planned; the layer's contrast limits are found by now.
    levels : sequence of array-likes
        Finest first, axes in napari's order (and channels last for a colour layer).
    metadata : dict, optional
        For ``layer.metadata``.
    """
    arguments: dict[str, Any] = {
        "name": layer.name,
        "multiscale": True,
        "axis_labels": _axis_labels(plan, layer),
        "units": plan.units,
        **plan.placement,
        "visible": layer.visible,
        "blending": layer.blending,
        "metadata": _metadata_of(layer, metadata),
        **layer.looks,
    }
    if layer.is_labels:
        return unguessed(levels), arguments, "labels"
    arguments["rgb"] = layer.rgb
    if not layer.rgb:
        arguments["colormap"] = layer.colormap
        arguments["contrast_limits"] = layer.contrast_limits
    return list(levels), arguments, "image"


def _axis_labels(plan: ImagePlan, layer: LayerPlan) -> tuple[str, ...]:
    own = layer.axis_labels or ()
    return own if len(own) == len(plan.axis_labels) else plan.axis_labels


def _metadata_of(layer: LayerPlan, own: dict[str, Any] | None) -> dict[str, Any]:
    """Return ``layer.metadata``: the user's, and our entry with what is set late."""
    metadata = {**layer.user_metadata, **(own or {})}
    if layer.late and LAYER_METADATA_KEY in metadata:
        entry = {**metadata[LAYER_METADATA_KEY], "late": dict(layer.late)}
        metadata[LAYER_METADATA_KEY] = entry
    return metadata


def unguessed(levels: Sequence[Any]) -> Any:
    """Return the levels of a labels layer so that napari does not unwrap one alone."""
    from napari.layers._multiscale_data import MultiScaleData

    return MultiScaleData(levels)
