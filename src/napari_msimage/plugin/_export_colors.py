"""How napari draws pixels: colours of one layer, and layers over one another.

The formulas are those of napari 0.9 and vispy 0.16: contrast limits, gamma, colormap,
then OpenGL's blending of colours that are not multiplied by their opacity.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Colors = npt.NDArray[np.float32]

#: Pixel types of so few values that their colours are looked up.
_TABLES: Final = {"uint8": 2**8, "uint16": 2**16, "bool": 2}


@dataclasses.dataclass(frozen=True, eq=False)
class LayerLook:
    """How one layer looks at one moment; needs no viewer, nor the layer."""

    dtype: np.dtype[Any]
    """Pixel type."""
    colormap: Any
    """napari's; None for RGB."""
    limits: tuple[float, float]
    """Black and full colour, in pixel values; of RGB too."""
    gamma: float
    """Exponent, after the limits."""
    opacity: float
    """From 0 to 1."""
    blending: str
    """napari's name of the mode."""
    is_rgb: bool
    """Whether the last axis of pixels is colours."""
    is_labels: bool
    """Whether pixels are labels."""
    contour: int = 0
    """Width of the outlines that labels are drawn as; 0: they are filled."""

    def colors(self, pixels: npt.NDArray[Any]) -> Colors:
        """Return red, green, blue and opacity, from 0 to 1, on a last axis.

        Parameters
        ----------
        pixels : ndarray
            Labels of `contour` above 0 are outlines already: see `outlined`.
        """
        if self.is_labels:
            return self._label_colors(pixels)
        if self.is_rgb:
            return self._rgb_colors(pixels)
        if self._table is not None:
            looked_up: Colors = self._table[pixels.astype(np.intp, copy=False)]
            return looked_up
        return self._mapped(pixels)

    def _label_colors(self, pixels: npt.NDArray[Any]) -> Colors:
        labels = pixels.astype(np.uint8) if pixels.dtype == bool else pixels
        colors = np.array(self.colormap.map(labels), dtype=np.float32)
        colors[..., 3] *= self.opacity
        return colors

    def _rgb_colors(self, pixels: npt.NDArray[Any]) -> Colors:
        colors = np.ones((*pixels.shape[:-1], 4), dtype=np.float32)
        colors[..., :3] = self._normalized(np.nan_to_num(pixels[..., :3], nan=-np.inf))
        if pixels.shape[-1] == 4:
            whole = self._full_alpha(pixels.dtype)
            alpha = np.nan_to_num(pixels[..., 3].astype(np.float32), nan=0) / whole
            colors[..., 3] = np.clip(alpha, 0, 1)
        colors[..., 3] *= self.opacity
        return colors

    @staticmethod
    def _full_alpha(dtype: np.dtype[Any]) -> float:
        return float(np.iinfo(dtype).max) if dtype.kind in "ui" else 1.0

    def _normalized(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        low, high = self.limits
        values = pixels.astype(np.float64)
        share = (np.clip(values, low, high) - low) / (high - low)
        # NaN stays NaN, for the colormap
        powered: npt.NDArray[np.float64] = np.power(share, self.gamma)
        return powered

    def _mapped(self, pixels: npt.NDArray[Any]) -> Colors:
        values = self._normalized(pixels)
        mapped = self.colormap.map(values.reshape(-1)).reshape((*values.shape, 4))
        colors: Colors = mapped.astype(np.float32)
        colors[..., 3] *= self.opacity
        return colors

    @property
    def _table(self) -> Colors | None:
        """Colours of all values of a small pixel type."""
        n_values = _TABLES.get(self.dtype.name)
        if n_values is None or self.is_rgb or self.is_labels:
            return None
        table = self.__dict__.get("_made_table")
        if table is None:
            table = self._mapped(np.arange(n_values))
            self.__dict__["_made_table"] = table
        found: Colors = table
        return found


def look_of(layer: Any) -> LayerLook:
    """Return how a layer looks now; in the window's thread.

    Parameters
    ----------
    layer : napari.layers.Image or napari.layers.Labels
        The layer.
    """
    is_labels = str(layer._type_string) == "labels"
    is_rgb = bool(getattr(layer, "rgb", False))
    limits = (0.0, 1.0) if is_labels else tuple(map(float, layer.contrast_limits))
    return LayerLook(
        dtype=np.dtype(layer.dtype),
        colormap=None if is_rgb else copy.deepcopy(layer.colormap),
        limits=(limits[0], limits[1]),
        gamma=1.0 if is_labels else float(layer.gamma),
        opacity=float(layer.opacity),
        blending=str(layer.blending),
        is_rgb=is_rgb,
        is_labels=is_labels,
        contour=int(layer.contour) if is_labels else 0,
    )


def blend(below: Colors, colors: Colors, mode: str, *, is_first: bool) -> None:
    """Draw a layer over what is there.

    Parameters
    ----------
    below : ndarray, (..., 4)
        Red, green, blue and opacity from 0 to 1; changed in place.
    colors : ndarray, (..., 4)
        Of the layer, its opacity in the last one.
    mode : str
        napari's blending mode.
    is_first : bool
        Whether it is the lowest visible layer, whose colours napari does not mix with
        the canvas in some modes.
    """
    source, alpha = colors[..., :3], colors[..., 3:]
    target, target_alpha = below[..., :3], below[..., 3:]
    if is_first and mode not in ("minimum", "additive"):
        mode = "translucent"
    if mode == "additive":
        rgb = source * alpha + (0 if is_first else target * target_alpha)
    elif mode == "minimum":
        rgb = source if is_first else np.minimum(source, target)
    elif mode == "multiplicative":
        rgb = source * target
    elif mode == "opaque":
        rgb = source
    else:
        rgb = source * alpha + target * (1 - alpha)
    is_minimum = mode == "minimum" and not is_first
    is_replaced = mode == "opaque"
    if is_minimum:
        new_alpha = np.minimum(alpha, target_alpha)
    else:
        new_alpha = alpha if is_replaced else alpha + target_alpha
    below[..., :3] = np.clip(rgb, 0, 1)
    below[..., 3:] = np.clip(new_alpha, 0, 1)


def outlined(
    labels: npt.NDArray[Any], width: int, background: int, axes: tuple[int, int]
) -> npt.NDArray[Any]:
    """Return labels as outlines, plane by plane, as napari draws them.

    Parameters
    ----------
    labels : ndarray
        With `width` more pixels around it than needed, where there are any.
    width : int
        Of the outlines.
    background : int
        The label that is nothing.
    axes : (int, int)
        Of the planes.
    """
    from napari.layers.labels._labels_utils import get_contours

    moved = np.moveaxis(labels, axes, (-2, -1))
    planes = moved.reshape(-1, *moved.shape[-2:])
    made = np.stack([get_contours(plane, width, background) for plane in planes])
    result: npt.NDArray[Any] = np.moveaxis(made.reshape(moved.shape), (-2, -1), axes)
    return result
