"""From layers to the image or scene to be written: decided before a pixel is read."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from ..coordinates import Axis, CoordinateSpace
from ..engines import ImageToWrite, SceneToWrite
from ..errors import ArgumentError
from ._image_keys import image_keys
from ._layer_source import (
    WRITTEN_TYPES,
    LayerSource,
    Levels,
    layer_parts,
    read_source,
    within_sentence,
)
from ._layer_transform import rescale_placement
from ._layers import CHANNEL_AXIS, COLOUR_TYPES
from ._pixel_views import StackedPixels
from ._placement import (
    convert_world,
    image_matrix,
    is_pixel_grid,
    is_same_place,
    matrix_to_transform,
)
from ._units import PIXEL, unit_factor, unit_for_napari
from ._write_hints import hints_metadata, hints_of_channels, hints_of_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._hints import DisplayHints

#: Ways to make levels of labels: a mean of labels is another label.
_LABEL_METHODS = ("mode", "stride")


@dataclasses.dataclass(frozen=True, slots=True)
class LayersPlan:
    """What layers become."""

    what: ImageToWrite | SceneToWrite
    """For the engine."""
    notes: tuple[str, ...]
    """What is stored differently, as sentences for the user."""
    skipped: tuple[str, ...]
    """Layers that are not written, as in ``"'spots' (points)"``."""
    source_uris: tuple[str, ...]
    """SOMA images that layers were read from."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Image:
    """One image to be written, and where it lies."""

    to_write: ImageToWrite
    first: LayerSource
    name: str


def plan_layers_to_write(
    layers: Sequence[Any],
    *,
    channels: bool = False,
    channel_axis: int | None = None,
    levels: Levels = "all",
    more_levels: bool | None = None,
    method: Any = None,
    platform_config: Any = None,
) -> LayersPlan:
    """Decide what layers become: an image, or a scene of images.

    A single layer on the pixel grid (scale 1, not turned, translate 0 or 1/2) becomes
    an image; anything else a scene, whose coordinates are napari's world coordinates
    with the axes reversed (z, y, x gives x, y, z).

    Parameters
    ----------
    layers : sequence of napari layers or layer tuples
        Bottom to top.
    channels, channel_axis, levels, more_levels, method, platform_config
        See `write_layers`.

    Returns
    -------
    LayersPlan
        Complete; no pixel was read.

    Raises
    ------
    ArgumentError, ArgumentTypeError, UnsupportedError
        As `write_layers`.
    """
    sources, skipped = _read_sources(layers, levels, channel_axis)
    sources = _in_one_space(sources)
    sources = [source.named_in(sources[0].axis_names) for source in sources]
    options = _Options(more_levels, method, platform_config)
    groups = _groups(sources, channels=channels)
    is_alone = len(groups) == 1 and is_pixel_grid(sources[0].matrix)
    images, notes = [], [note for source in sources for note in source.notes]
    for order, group in enumerate(groups):
        image, more = _image_of(
            group,
            options,
            None if is_alone else order,
            as_channels=channels and not group[0].is_labels,
        )
        images.append(image)
        notes += more
    space = _space_of(sources[0])
    notes += _unit_notes(sources[0])
    what: ImageToWrite | SceneToWrite
    if is_alone:
        what = dataclasses.replace(images[0].to_write, coordinate_space=space)
    else:
        what = _scene_of(images, space)
    uris = tuple(source.uri for source in sources if source.uri)
    return LayersPlan(what, tuple(dict.fromkeys(notes)), skipped, uris)


# Layers ---------------------------------------------------------------------------


def _read_sources(
    layers: Sequence[Any], levels: Levels, channel_axis: int | None
) -> tuple[list[LayerSource], tuple[str, ...]]:
    """Return the layers that can be written, and the names of the others."""
    if not len(layers):
        msg = "No layers are given; select the image or labels layers to be saved."
        raise ArgumentError(msg)
    sources, skipped = [], []
    for layer in layers:
        data, attributes, kind = layer_parts(layer)
        if kind in WRITTEN_TYPES:
            sources.append(
                read_source(
                    data, attributes, kind, levels=levels, channel_axis=channel_axis
                )
            )
        else:
            skipped.append(f"{attributes.get('name', '')!r} ({kind})")
    if not sources:
        msg = (
            f"None of the layers can be saved: {', '.join(skipped)}. SOMA images are "
            "made of image and labels layers."
        )
        raise ArgumentError(msg)
    return sources, tuple(skipped)


def _in_one_space(sources: list[LayerSource]) -> list[LayerSource]:
    """Return the layers in the units of the first one."""
    first = sources[0]
    converted = [first]
    for source in sources[1:]:
        if len(source.axis_names) != len(first.axis_names):
            msg = (
                f"{first.subject} has {len(first.axis_names)} spatial axes, "
                f"{within_sentence(source.subject)} has {len(source.axis_names)}; "
                "images of one scene have the same axes. Save them one by one."
            )
            raise ArgumentError(msg)
        converted.append(_converted(source, first))
    return converted


def _converted(source: LayerSource, first: LayerSource) -> LayerSource:
    if source.units == first.units:
        return source
    factors = []
    for unit, target in zip(source.units, first.units, strict=True):
        factor = unit_factor(unit, target)
        if factor is None:
            msg = (
                f"{source.subject} is in {unit}, {within_sentence(first.subject)} in "
                f"{target}, and neither can be converted into the other. Set "
                "layer.units and layer.scale of one of them, or save them one by one."
            )
            raise ArgumentError(msg)
        factors.append(factor)
    placement = source.placement and rescale_placement(source.placement, factors)
    note = (
        f"{source.subject} is stored in {' x '.join(dict.fromkeys(first.units))} "
        f"instead of {' x '.join(dict.fromkeys(source.units))}, as the first layer."
    )
    return dataclasses.replace(
        source,
        units=first.units,
        matrix=convert_world(source.matrix, factors),
        placement=placement,
        notes=(*source.notes, note),
    )


# Channels -------------------------------------------------------------------------


def _groups(
    sources: list[LayerSource], *, channels: bool
) -> list[tuple[LayerSource, ...]]:
    """Return the layers that become one image each; alone unless they are channels."""
    if not channels:
        return [(source,) for source in sources]
    stacked = [source for source in sources if not source.is_labels]
    if not stacked:
        msg = "There are only labels layers, which are never channels of one image."
        raise ArgumentError(msg)
    for source in stacked:
        if source.channel_axis is not None:
            what = "RGB" if source.rgb else "an image with a channel axis"
            msg = (
                f"{source.subject} is {what} and cannot be a channel of another image. "
                "Save it without channels=True."
            )
            raise ArgumentError(msg)
        _check_alike(stacked[0], source)
    groups: list[tuple[LayerSource, ...]] = []
    for source in sources:
        if source is stacked[0]:
            groups.append(tuple(stacked))
        elif source.is_labels:
            groups.append((source,))
    return groups


def _check_alike(first: LayerSource, other: LayerSource) -> None:
    """Refuse layers that cannot be channels of one image."""
    facts = {
        "levels of the shapes": (first.shapes, other.shapes),
        "pixels of the type": (first.dtype, other.dtype),
        "the transform": (first.matrix.tolist(), other.matrix.tolist()),
    }
    same_place = is_same_place(first.matrix, other.matrix)
    for what, (one, two) in facts.items():
        if one != two and not (what == "the transform" and same_place):
            msg = (
                f"{first.subject} has {what} {one}, {within_sentence(other.subject)} "
                f"{two}; channels of one image share them. Save the layers without "
                "channels=True, as images of a scene."
            )
            raise ArgumentError(msg)


# Images ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class _Options:
    """What the caller wants of all images."""

    more_levels: bool | None
    method: Any
    platform_config: Any

    def method_of(self, source: LayerSource) -> Any:
        """Return how levels of a layer are made."""
        if not source.is_labels:
            return self.method or "mean"
        return self.method if self.method in _LABEL_METHODS else "mode"


def _image_of(
    group: tuple[LayerSource, ...],
    options: _Options,
    order: int | None,
    *,
    as_channels: bool,
) -> tuple[_Image, list[str]]:
    """Return the image that one layer, or several channels, become; and notes."""
    first = group[0]
    if as_channels:
        hints, levels = hints_of_channels(group, order), _stack(group)
        axis: int | None = 0
    else:
        hints, levels = hints_of_source(first, order), first.levels
        axis = first.channel_axis
    metadata, notes = hints_metadata(
        _without_default_placement(hints, first), first.subject
    )
    to_write = ImageToWrite(
        levels=levels,
        coordinate_space=CoordinateSpace.from_axis_names(first.axis_names[::-1]),
        data_axis_order=_with_channel(first.axis_names, axis),
        metadata=metadata,
        platform_config=options.platform_config,
        more_levels=_wants_levels(group, options),
        method=options.method_of(first),
    )
    name = first.name if len(group) == 1 else ""
    return _Image(to_write, first, name), [*notes, *_colour_notes(first)]


def _stack(group: tuple[LayerSource, ...]) -> tuple[StackedPixels, ...]:
    """Return the levels of channels, lazily, the channel axis first."""
    return tuple(
        StackedPixels(parts)
        for parts in zip(*(source.levels for source in group), strict=True)
    )


def _with_channel(names: tuple[str, ...], axis: int | None) -> tuple[str, ...]:
    order = list(names)
    if axis is not None:
        order.insert(axis, CHANNEL_AXIS)
    return tuple(order)


def _wants_levels(group: tuple[LayerSource, ...], options: _Options) -> bool:
    if options.more_levels is not None:
        return options.more_levels
    return not all(source.is_complete for source in group)


def _without_default_placement(
    hints: DisplayHints, source: LayerSource
) -> DisplayHints:
    """Leave out a placement that readers assume anyway: centres at 1/2."""
    is_default = np.array_equal(source.matrix, image_matrix(len(source.axis_names)))
    return hints.model_copy(update={"placement": None}) if is_default else hints


def _colour_notes(source: LayerSource) -> list[str]:
    if not source.rgb or source.dtype.name in COLOUR_TYPES:
        return []
    return [
        f"{source.subject} has colours of type {source.dtype}; it will open as one "
        "layer per channel."
    ]


# Spaces ---------------------------------------------------------------------------


def _space_of(source: LayerSource) -> CoordinateSpace:
    """Return world coordinates as a coordinate space."""
    pairs = zip(source.axis_names, source.units, strict=True)
    axes = [Axis(name, None if unit == PIXEL else unit) for name, unit in pairs]
    return CoordinateSpace(tuple(reversed(axes)))


def _unit_notes(source: LayerSource) -> list[str]:
    return [
        f"The unit {unit!r} is stored, but is neither a length nor a time; the layers "
        "will open in pixels."
        for unit in dict.fromkeys(source.units)
        if unit_for_napari(unit) is None
    ]


def _scene_of(images: Sequence[_Image], space: CoordinateSpace) -> SceneToWrite:
    keys = image_keys(
        [image.name for image in images],
        ["labels" if image.first.is_labels else "image" for image in images],
    )
    names = space.axis_names
    own = CoordinateSpace.from_axis_names(names)
    to_write, transforms = {}, {}
    for key, image in zip(keys, images, strict=True):
        order = _renamed(image.to_write.data_axis_order, image.first.axis_names, names)
        to_write[key] = dataclasses.replace(
            image.to_write, coordinate_space=own, data_axis_order=order
        )
        transforms[key] = matrix_to_transform(image.first.matrix, names, names)
    return SceneToWrite(space, to_write, transforms)


def _renamed(
    order: tuple[str, ...], old: tuple[str, ...], names: tuple[str, ...]
) -> tuple[str, ...]:
    """Return an axis order with the names of the scene, those of the first layer."""
    renamed = dict(zip(old, reversed(names), strict=True))
    return tuple(renamed.get(name, name) for name in order)
