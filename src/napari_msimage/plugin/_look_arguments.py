"""Hints of a layer as napari's arguments; nothing in them can make napari fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ._custom_colors import custom_to_colormap, hints_to_label_colors

if TYPE_CHECKING:
    from ._hint_fields import LayerHints

_ANY_LAYER: Final = ("opacity", "blending", "depiction", "projection_mode")
_IMAGE: Final = (
    "gamma",
    "interpolation2d",
    "interpolation3d",
    "rendering",
    "attenuation",
    "iso_threshold",
)
_LABELS: Final = ("iso_gradient_mode", "rendering")
_LABELS_RENDERING: Final = ("translucent", "iso_categorical")
_LABELS_PROJECTION: Final = ("none",)


def look_arguments(hint: LayerHints, *, is_labels: bool) -> dict[str, Any]:
    """Return arguments for napari's constructors; colours and limits aside.

    Parameters
    ----------
    hint : LayerHints
        What was stored; checked field by field.
    is_labels : bool
        For a labels layer, else for an image.
    """
    names = (*_ANY_LAYER, *(_LABELS if is_labels else _IMAGE))
    arguments = {
        name: value for name in names if (value := getattr(hint, name)) is not None
    }
    # a choice of the other kind of layer
    if (arguments.get("rendering") in _LABELS_RENDERING[1:]) != is_labels and (
        arguments.get("rendering") != "translucent"
    ):
        arguments.pop("rendering", None)
    if is_labels and arguments.get("projection_mode") not in _LABELS_PROJECTION:
        arguments.pop("projection_mode", None)
    if is_labels and hint.label_colors is not None:
        colors = hints_to_label_colors(hint.label_colors)
        if colors is not None:
            arguments["colormap"] = colors
    return arguments


def late_attributes(hint: LayerHints, *, is_labels: bool, rgb: bool) -> dict[str, Any]:
    """Return attributes to be set once the layer exists."""
    if is_labels:
        return {} if hint.contour is None else {"contour": hint.contour}
    if rgb or hint.contrast_limits_range is None:
        return {}
    return {"contrast_limits_range": hint.contrast_limits_range}


def set_late_attributes(layer: Any, key: str) -> None:
    """Set what napari's constructors do not take, once, from the layer's own entry.

    Parameters
    ----------
    layer : napari layer
        New in a viewer.
    key : str
        Of our entry in ``layer.metadata``.
    """
    entry = layer.metadata.get(key)
    late = entry.pop("late", None) if isinstance(entry, dict) else None
    for name, value in (late or {}).items():
        if hasattr(layer, name):
            setattr(layer, name, value)


def own_colormap(hint: LayerHints) -> Any:
    """Return the custom colormap of a hint, None without a usable one."""
    return hint.custom_colormap and custom_to_colormap(hint.custom_colormap)
