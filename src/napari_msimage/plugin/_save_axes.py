"""Other axis names, pixel sizes and units for layers that are to be saved; no Qt.

A pixel size that is corrected scales the world: all layers that share it move along, so
that they still lie upon each other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import ArgumentError
from ._layer_source import WRITTEN_TYPES, read_source
from ._layer_transform import attributes_to_placement, trim_placement
from ._placement import augmented
from ._save_wish import AxesWish, LayerAxes
from ._units import unit_factor, units_of_layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._layer_source import LayerSource
    from ._save_wish import LayerParts

#: Stands for the channel axis among axis labels; not stored.
_CHANNEL_LABEL: Final = "channel"
#: Some write 1,500 for 1.5, others for 1500.
_THOUSANDS: Final = re.compile(r"[1-9]\d{0,2},\d{3}")


def axes_of(layer: LayerParts, channel_axis: int | None) -> LayerAxes:
    """Return the axes of a layer.

    Parameters
    ----------
    layer : LayerParts
        An image or labels layer.
    channel_axis : int or None
        Which axis of an image that is not RGB is taken for the channels.

    Raises
    ------
    SOMAError
        If the layer cannot be saved.
    """
    return _axes_of_source(_source_of(layer, channel_axis))


def with_axes(
    layers: Sequence[LayerParts], wish: AxesWish, channel_axis: int | None
) -> list[LayerParts]:
    """Return layers with other axes, placed accordingly.

    Layers in units that do not compare with those of the first one are left alone.

    Parameters
    ----------
    layers : sequence of LayerParts
        Bottom to top; those that cannot be saved are passed through.
    wish : AxesWish
        What is to be different; for the axes of the first layer.
    channel_axis : int or None
        Which axis of images that are not RGB is taken for the channels.

    Raises
    ------
    ArgumentError
        If a name, number or unit makes no sense.
    SOMAError
        If a layer cannot be saved.
    """
    first = next((one for one in layers if one[2] in WRITTEN_TYPES), None)
    if first is None or wish == AxesWish():
        return list(layers)
    axes = axes_of(first, channel_axis)
    names = _checked_names(wish.names) if _fits(wish.names, axes) else axes.names
    factors = _size_factors(wish.sizes, axes)
    units = _parsed_units(wish.unit, len(axes.names)) if wish.unit else axes.units
    change = _Change(axes, names, factors, units)
    return [
        change.of(layer, channel_axis) if layer[2] in WRITTEN_TYPES else layer
        for layer in layers
    ]


@dataclasses.dataclass(frozen=True, slots=True)
class _Change:
    """What becomes of the axes; coordinate axis order."""

    old: LayerAxes
    names: tuple[str, ...]
    factors: tuple[float, ...]
    units: tuple[str, ...]

    @property
    def is_of_world(self) -> bool:
        return self.units != self.old.units or any(f != 1 for f in self.factors)

    def of(self, layer: LayerParts, channel_axis: int | None) -> LayerParts:
        """Return a layer with these axes."""
        data, attributes, kind = layer
        source = _source_of(layer, channel_axis)
        if len(source.axis_names) != len(self.names):
            return layer  # told by the plan
        is_own_axis = source.channel_axis is not None and not source.rgb
        axis = source.channel_axis if is_own_axis else None
        changed = dict(attributes)
        changed["axis_labels"] = _inserted(
            self.names[::-1], axis, _label_unlike(self.names)
        )
        conversions = [
            unit_factor(unit, target)
            for unit, target in zip(source.units, self.old.units[::-1], strict=True)
        ]
        if not self.is_of_world or None in conversions:
            return data, changed, kind
        world = np.array(conversions, float) * self.factors[::-1]
        all_units = units_of_layer(
            attributes.get("units"), len(changed["axis_labels"]), source.subject
        )
        channel_unit = all_units[axis] if axis is not None else ""
        changed["units"] = _inserted(self.units[::-1], axis, channel_unit)
        whole = np.array(_inserted(tuple(world), axis, 1.0), float)
        changed.update(_scaled(attributes, whole, source.subject))
        return data, changed, kind


def _source_of(layer: LayerParts, channel_axis: int | None) -> LayerSource:
    data, attributes, kind = layer
    return read_source(data, attributes, kind, channel_axis=channel_axis)


def _axes_of_source(source: LayerSource) -> LayerAxes:
    linear = source.matrix[:-1, :-1]
    sizes = [math.hypot(*column) for column in linear.T]  # squares may be 0
    is_turned = not np.array_equal(linear, np.diag(np.diag(linear)))
    return LayerAxes(
        names=source.axis_names[::-1],
        sizes=tuple(sizes[::-1]),
        units=source.units[::-1],
        is_turned=is_turned,
    )


def _scaled(
    attributes: dict[str, Any], factors: np.ndarray[Any, Any], subject: str
) -> dict[str, Any]:
    """Return the transform of a layer whose world is scaled.

    Parameters
    ----------
    attributes : dict
        Of the layer.
    factors : ndarray, (n_axes,)
        New world coordinates per old one, napari's axis order.
    subject : str
        Which layer, for messages.
    """
    n_axes = len(factors)
    placement = attributes_to_placement(attributes, n_axes, subject)
    trimmed = trim_placement(placement, n_axes)
    is_upright = trimmed.rotate is None and trimmed.shear is None
    if trimmed.affine is None and (is_upright or len(set(factors)) == 1):
        return {
            "scale": np.array(placement.scale) * factors,
            "translate": np.array(placement.translate) * factors,
        }
    scaling = augmented(np.diag(factors), np.zeros(n_axes))
    return {"affine": scaling @ np.array(placement.affine)}


# Texts ----------------------------------------------------------------------------


def _fits(texts: tuple[str, ...], axes: LayerAxes) -> bool:
    """Tell whether texts are for these axes, not for those of a layer before."""
    return len(texts) == len(axes.names)


def _checked_names(texts: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(text.strip() for text in texts)
    for name in names:
        if not name or not name.isprintable() or name.lower().startswith("soma_"):
            msg = (
                f"{name!r} cannot be the name of an axis. Enter names such as x, y and "
                "z that do not start with 'soma_'."
            )
            raise ArgumentError(msg)
    if len(set(names)) < len(names):
        msg = f"The axis names {', '.join(names)} repeat. Give each axis its own name."
        raise ArgumentError(msg)
    return names


def _size_factors(texts: tuple[str, ...], axes: LayerAxes) -> tuple[float, ...]:
    """Return new sizes divided by old ones."""
    if not _fits(texts, axes):
        return (1.0,) * len(axes.names)
    factors = []
    for text, old, old_text, name in zip(
        texts, axes.sizes, axes.size_texts, axes.names, strict=True
    ):
        is_new = text.strip() != old_text
        factors.append(_parsed_size(text, name) / old if is_new else 1.0)
    if axes.is_turned and len(set(factors)) > 1:
        msg = (
            "The layer is turned, so that its pixel sizes can only be changed all by "
            "the same factor. Set the layer's own scale instead."
        )
        raise ArgumentError(msg)
    return tuple(factors)


def _parsed_size(text: str, name: str) -> float:
    number = text.strip().replace(",", ".")
    if _THOUSANDS.fullmatch(text.strip()):
        msg = (
            f"The pixel size {text.strip()!r} along {name} can be read in two ways. "
            f"Enter {number} or {number.replace('.', '')}."
        )
        raise ArgumentError(msg)
    try:
        size = float(number)
    except ValueError:
        size = math.nan
    if not (math.isfinite(size) and size > 0):
        msg = (
            f"The pixel size {text.strip()!r} along {name} is no number above 0. Enter "
            "one such as 0.5."
        )
        raise ArgumentError(msg)
    return size


def _parsed_units(text: str, n_axes: int) -> tuple[str, ...]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) not in (1, n_axes):
        msg = (
            f"{text!r} has {len(parts)} units for {n_axes} axes. Enter one for all, or "
            "one per axis with commas between."
        )
        raise ArgumentError(msg)
    units = [_parsed_unit(part) for part in parts]
    return tuple(units * n_axes if len(units) == 1 else units)


def _parsed_unit(text: str) -> str:
    """Return a unit; in any case, as "Micrometer" is meant like "micrometer"."""
    for spelling in (text, text.lower()):
        with contextlib.suppress(ArgumentError):
            return units_of_layer([spelling], 1, "")[0]
    msg = (
        f"The unit {text[:40]!r} is not known. Enter one such as micrometer, "
        "nanometer or pixel."
    )
    raise ArgumentError(msg)


def _inserted(values: tuple[Any, ...], index: int | None, value: Any) -> Any:
    """Return values with another one among them."""
    if index is None:
        return values
    return (*values[:index], value, *values[index:])


def _label_unlike(names: tuple[str, ...]) -> str:
    label = _CHANNEL_LABEL
    while label in names:
        label += "_"
    return label
