"""Colormaps of layers as hints, and back: those with a name, custom ones, labels'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._hint_fields import CustomColormap, LabelColors

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

# Images ---------------------------------------------------------------------------


def colormap_to_hints(colormap: Any) -> dict[str, Any]:
    """Return a colormap as the fields ``colormap`` or ``custom_colormap`` of hints.

    Parameters
    ----------
    colormap : napari Colormap, its dictionary, or anything napari takes for one
        As a layer or a layer tuple has it.

    Returns
    -------
    dict
        A name where napari makes the same colours of it in any session; else the
        colours. Empty where napari would not understand the colormap either.
    """
    from napari.utils.colormaps import ALL_COLORMAPS, Colormap, ensure_colormap

    try:
        if isinstance(colormap, dict) and "colors" in colormap:
            colormap = Colormap(**colormap)
        elif not isinstance(colormap, Colormap):
            colormap = ensure_colormap(colormap)
    except (ValueError, TypeError, KeyError):
        return {}
    name = str(colormap.name)
    known = ALL_COLORMAPS.get(name)
    if known is not None and _is_same(known, colormap):
        return {"colormap": name}
    if _is_fade_to(name, colormap):
        return {"colormap": name}
    try:
        return {"custom_colormap": _custom(colormap)}
    except ValueError:
        return {}


def _is_same(one: Any, other: Any) -> bool:
    fields = ("colors", "controls", "nan_color", "low_color", "high_color")
    return str(one.interpolation) == str(other.interpolation) and all(
        np.array_equal(getattr(one, field), getattr(other, field)) for field in fields
    )


def _is_fade_to(name: str, colormap: Any) -> bool:
    """Tell whether ``#rrggbb`` says it all: black to that colour."""
    if not (name.startswith("#") and len(name) == 7):
        return False
    try:
        end = [int(name[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    except ValueError:
        return False
    faded = np.array([[0, 0, 0, 1], [*end, 1]], np.float32)
    return (
        bool(end != [0, 0, 0])  # napari takes black for white to black
        and colormap.colors.shape == (2, 4)
        and np.allclose(colormap.colors, faded, atol=1e-6)
        and list(colormap.controls) == [0, 1]
        and str(colormap.interpolation) == "linear"
        and colormap.low_color is None
        and colormap.high_color is None
    )


def _custom(colormap: Any) -> CustomColormap:
    def color(value: Any) -> Any:
        return None if value is None else _shortest(value)

    return CustomColormap(
        name=str(colormap.name)[:200] or "custom",
        colors=[_shortest(row) for row in colormap.colors],  # type: ignore[arg-type]
        controls=tuple(float(value) for value in colormap.controls),
        interpolation=str(colormap.interpolation),  # type: ignore[arg-type]
        nan_color=color(colormap.nan_color),
        low_color=color(colormap.low_color),
        high_color=color(colormap.high_color),
    )


def custom_to_colormap(hint: CustomColormap) -> Any:
    """Return napari's colormap of a custom one, or None if napari refuses it."""
    from napari.utils.colormaps import Colormap

    arguments: dict[str, Any] = {
        "name": hint.name,
        "colors": np.array(hint.colors, np.float32),
        "interpolation": hint.interpolation,
        "low_color": hint.low_color,
        "high_color": hint.high_color,
    }
    if hint.controls is not None:
        arguments["controls"] = np.array(hint.controls)
    if hint.nan_color is not None:
        arguments["nan_color"] = hint.nan_color
    try:
        return Colormap(**arguments)
    except (ValueError, TypeError):
        return None


# Labels ---------------------------------------------------------------------------


def label_colors_to_hints(colormap: Any) -> LabelColors | None:
    """Return the colours of a labels layer; None if they are napari's defaults or odd.

    Parameters
    ----------
    colormap : napari label colormap, dict of colours, or None
        As a layer or a layer tuple has it.
    """
    from napari.utils.colormaps import DirectLabelColormap

    if colormap is None:
        return None
    if isinstance(colormap, dict):
        colormap = _direct_of(colormap)
    try:
        if isinstance(colormap, DirectLabelColormap):
            return _direct_hint(colormap.color_dict)
        return _cyclic_hint(colormap)
    except (ValueError, TypeError, AttributeError):
        return None


def _direct_hint(colors: Mapping[Any, Any]) -> LabelColors:
    pairs = [
        (None if label is None else int(label), _shortest(color))
        for label, color in colors.items()
    ]
    return LabelColors(direct=pairs)  # type: ignore[arg-type]


def _cyclic_hint(colormap: Any) -> LabelColors:
    from napari.utils.colormaps import label_colormap

    n_colors = len(colormap.colors) - 1
    hint = LabelColors(
        seed=float(colormap.seed),
        n_colors=max(n_colors, 1),
        background=int(colormap.background_value),
    )
    same = label_colormap(hint.n_colors, hint.seed, hint.background)
    if np.array_equal(same.colors, colormap.colors):
        return hint
    return LabelColors(
        seed=hint.seed,
        n_colors=hint.n_colors,
        background=hint.background,
        colors=[_shortest(row) for row in colormap.colors],  # type: ignore[arg-type]
    )


def hints_to_label_colors(hint: LabelColors) -> Any:
    """Return napari's colormap of a labels layer, or None if napari refuses it."""
    from napari.utils.colormaps import CyclicLabelColormap, label_colormap

    try:
        if hint.direct is not None:
            return _direct_of(dict(hint.direct))
        if hint.colors is None:
            return label_colormap(hint.n_colors, hint.seed, hint.background)
        return CyclicLabelColormap(
            colors=np.array(hint.colors, np.float32),
            seed=hint.seed,
            background_value=hint.background,
        )
    except (ValueError, TypeError):
        return None


def _direct_of(colors: Mapping[Any, Any]) -> Any:
    from napari.utils.colormaps import DirectLabelColormap
    from napari.utils.colormaps.standardize_color import transform_color

    known = {label: transform_color(color)[0] for label, color in colors.items()}
    known.setdefault(None, np.zeros(4, np.float32))
    return DirectLabelColormap(color_dict=known)


def _shortest(values: npt.ArrayLike) -> tuple[float, ...]:
    """Return 32-bit floats as the shortest numbers that give them back."""
    return tuple(
        float(np.format_float_positional(value, unique=True, trim="-"))
        for value in np.asarray(values, np.float32).ravel()
    )
