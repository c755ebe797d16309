"""Fields of display hints: what is allowed in each, and records made of them.

A damaged value of a single field never costs the others: when text is read, it is left
out with a note. In Python a wrong value is an error.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

_MAX_NAME: Final = 200
_MAX_LAYER_NAME: Final = 1000
MAX_AXIS_LABEL: Final = 200
_MAX_COLORS: Final = 2048
_MAX_LABEL_COLORS: Final = 65535
_MAX_CONTOUR: Final = 1000
_COLORMAP: Final = re.compile(
    r"[A-Za-z0-9 ._-]{1,64}|#[0-9A-Fa-f]{6}(?:[0-9A-Fa-f]{2})?"
)


class Record(BaseModel):
    """Base of all hints: frozen, no conversions, unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


# Checks ---------------------------------------------------------------------------


def _check_name(name: str) -> str:
    text = "".join(c if c.isprintable() else " " for c in name).strip()
    if not text or len(text) > _MAX_NAME:
        msg = f"a channel name has 1 to {_MAX_NAME} printable characters, got {name!r}"
        raise ValueError(msg)
    return text


def _check_colormap(colormap: str) -> str:
    if not _COLORMAP.fullmatch(colormap):
        msg = f"a colormap is a name or '#rrggbb', got {colormap!r}"
        raise ValueError(msg)
    return colormap


def _check_limits(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        msg = f"contrast limits are two finite numbers, low < high, got {limits!r}"
        raise ValueError(msg)
    return limits


def problem_of(err: ValidationError) -> str:
    """Say in one line where the first problem is, and what it is."""
    problem = err.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    text = problem["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{place}: {text}" if place else text


def _leave_out_if_damaged(
    value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
) -> Any:
    """Take a damaged value for a missing one if the reader collects notes."""
    try:
        return handler(value)
    except ValidationError as err:
        if info.context is None:
            raise
        info.context.append(f"{info.field_name}: {problem_of(err)}")
        return None


_Lenient: Final = WrapValidator(_leave_out_if_damaged)
ChannelName = Annotated[str, AfterValidator(_check_name)]
ColormapName = Annotated[str, AfterValidator(_check_colormap)]
Limits = Annotated[
    tuple[float, float], Field(strict=False), AfterValidator(_check_limits)
]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Part = Annotated[float, Field(ge=0, le=1)]
_Numbers = Annotated[tuple[_Finite, ...], Field(strict=False, max_length=8)]
_Matrix = Annotated[tuple[_Numbers, ...], Field(strict=False, max_length=8)]
_AxisLabels = Annotated[
    tuple[Annotated[str, Field(max_length=MAX_AXIS_LABEL)], ...],
    Field(strict=False, max_length=8),
]
_Color = Annotated[tuple[_Part, _Part, _Part, _Part], Field(strict=False)]
_Colors = Annotated[
    tuple[_Color, ...], Field(strict=False, min_length=1, max_length=_MAX_COLORS)
]

# napari's choices; what a later napari adds is left out with a note.
Blending = Literal[
    "translucent", "translucent_no_depth", "additive", "minimum", "opaque",
    "multiplicative",
]  # fmt: skip
Interpolation = Literal[
    "bessel", "cubic", "linear", "blackman", "catrom", "gaussian", "hamming", "hanning",
    "hermite", "kaiser", "lanczos", "mitchell", "nearest", "spline16", "spline36",
]  # fmt: skip
Rendering = Literal[
    "translucent", "additive", "iso", "mip", "minip", "attenuated_mip", "average",
    "iso_categorical",
]  # fmt: skip
Projection = Literal["none", "sum", "mean", "max", "min"]


# Records --------------------------------------------------------------------------


class CustomColormap(Record):
    """A colormap that napari does not have by name."""

    name: str = Field(default="custom", min_length=1, max_length=_MAX_NAME)
    """What napari lists it as."""
    colors: _Colors
    """RGBA, each in ``[0, 1]``, black to full colour."""
    controls: Annotated[tuple[_Part, ...], Field(strict=False)] | None = None
    """Where between 0 and 1 the colours are; None: evenly spread."""
    interpolation: Literal["linear", "zero"] = "linear"
    """Between the colours, or steps."""
    nan_color: _Color | None = None
    """RGBA of not-a-numbers."""
    low_color: _Color | None = None
    """RGBA at and below the low contrast limit."""
    high_color: _Color | None = None
    """RGBA at and above the high contrast limit."""

    @model_validator(mode="after")
    def _check_controls(self) -> CustomColormap:
        expected = len(self.colors) + (self.interpolation == "zero")
        controls = self.controls
        if controls is None:
            return self
        is_spread = len(controls) == expected and (controls[0], controls[-1]) == (0, 1)
        if not is_spread or list(controls) != sorted(controls):
            msg = f"expected {expected} rising controls from 0 to 1, got {controls!r}"
            raise ValueError(msg)
        return self


class LabelColors(Record):
    """Colours of labels: a seed, colours in turn, or one per label."""

    seed: _Finite = 0.5
    """Seed of napari's random colours."""
    n_colors: Annotated[int, Field(ge=1, le=_MAX_LABEL_COLORS)] = 49
    """How many random colours, the background aside."""
    background: int = 0
    """Label that is transparent."""
    colors: _Colors | None = None
    """RGBA taken in turn, the background's first; in place of random ones."""
    direct: (
        Annotated[
            tuple[Annotated[tuple[int | None, _Color], Field(strict=False)], ...],
            Field(strict=False, max_length=_MAX_COLORS),
        ]
        | None
    ) = None
    """Label and RGBA; None for all other labels. In place of the above."""


class Placement(Record):
    """A layer's transform as napari was given it; what is None is trivial.

    Axes in napari's order (z, y, x). World coordinates of a pixel centre are
    ``affine @ (rotate @ shear @ scale @ index + translate)``.
    """

    scale: _Numbers | None = None
    """World units per pixel, (n_axes,)."""
    translate: _Numbers | None = None
    """World coordinates of the centre of pixel 0, before `affine`, (n_axes,)."""
    rotate: _Matrix | None = None
    """Rotation matrix, (n_axes, n_axes)."""
    shear: _Numbers | _Matrix | None = None
    """Upper triangle as a vector, or a triangular matrix (n_axes, n_axes)."""
    affine: _Matrix | None = None
    """Augmented matrix applied last, (n_axes + 1, n_axes + 1)."""


class LayerHints(Record):
    """How one layer looks; what is None is left to the defaults."""

    visible: bool | None = None
    """Whether the layer starts visible."""
    layer_name: Annotated[
        Annotated[str, Field(max_length=_MAX_LAYER_NAME)] | None, _Lenient
    ] = None
    """Name of the layer as it was, which may be empty; without it, names are made of
    the image's."""
    axis_labels: Annotated[_AxisLabels | None, _Lenient] = None
    """Names of the layer's axes as they were, napari's order (z, y, x), where they are
    not those of the image's, or of the scene's, coordinate space."""
    custom_colormap: Annotated[CustomColormap | None, _Lenient] = None
    """A colormap that has no name in napari."""
    contrast_limits_range: Annotated[Limits | None, _Lenient] = None
    """Ends of the slider for the contrast limits, in pixel values."""
    gamma: Annotated[_Positive | None, _Lenient] = None
    """Exponent between the contrast limits."""
    opacity: Annotated[_Part | None, _Lenient] = None
    """From 0, invisible, to 1."""
    blending: Annotated[Blending | None, _Lenient] = None
    """How the layer mixes with those below."""
    interpolation2d: Annotated[Interpolation | None, _Lenient] = None
    """Between pixels, flat."""
    interpolation3d: Annotated[Interpolation | None, _Lenient] = None
    """Between pixels, as a volume."""
    rendering: Annotated[Rendering | None, _Lenient] = None
    """How a volume is drawn."""
    attenuation: Annotated[_Finite | None, _Lenient] = None
    """Of the rendering "attenuated_mip"."""
    iso_threshold: Annotated[_Finite | None, _Lenient] = None
    """Of the rendering "iso", in pixel values."""
    iso_gradient_mode: Annotated[Literal["fast", "smooth"] | None, _Lenient] = None
    """Of the rendering "iso_categorical" of labels."""
    projection_mode: Annotated[Projection | None, _Lenient] = None
    """How thick slices are put together."""
    depiction: Annotated[Literal["volume", "plane"] | None, _Lenient] = None
    """Whether 3-D shows the volume or a plane through it."""
    label_colors: Annotated[LabelColors | None, _Lenient] = None
    """Colours of a labels layer."""
    contour: Annotated[
        Annotated[int, Field(ge=0, le=_MAX_CONTOUR)] | None, _Lenient
    ] = None  # fmt: skip
    """Width of labels' outlines in pixels; 0 fills them."""
    user_metadata: Annotated[dict[str, Any] | None, _Lenient] = None
    """The layer's own ``metadata``, as far as it is JSON."""


LenientLayer = Annotated[LayerHints | None, _Lenient]
LenientPlacement = Annotated[Placement | None, _Lenient]
LenientLayerType = Annotated[Literal["image", "labels"] | None, _Lenient]
LenientOrder = Annotated[Annotated[int, Field(ge=0)] | None, _Lenient]
