"""Layers as they are displayed, as the RGB source of an export; lazy."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import ArgumentError
from ._export_colors import LayerLook, blend, look_of, outlined
from ._export_layer import ExportLayer, layers_to_export, unwrapped
from ._layers import CHANNEL_AXIS
from ._pixel_views import StackedPixels
from ._placement import is_same_place
from ._sliders import layer_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ._region_frame import ViewState

_BLACK: Final = (0.0, 0.0, 0.0)
_N_COLORS: Final = 3


def displayed_source(
    layers: Sequence[Any],
    *,
    background: Sequence[float] = _BLACK,
    view: ViewState | None = None,
) -> ExportLayer:
    """Return visible layers of one image as they are drawn over one another.

    Parameters
    ----------
    layers : sequence of napari layers
        Bottom to top; those that are hidden are left out. In the window's thread.
    background : sequence of float, 3 numbers
        Red, green and blue of the canvas, from 0 to 1.
    view : ViewState, optional
        The viewer now: outlines of labels are drawn in the planes on the canvas, and
        layers with many axes are taken at the sliders. By default the last two axes
        are on the canvas.

    Returns
    -------
    ExportLayer
        Its source is RGB, uint8, colours last; each box of it is made when it is read.
        Later changes of the layers do not show.

    Raises
    ------
    ArgumentError
        If no layer is visible, or they are not of the same shape in the same place.
    ArgumentTypeError, UnsupportedError, RegionError
        As `layers_to_export`.
    """
    visible = [unwrapped(layer) for layer in layers if layer.visible]
    if not visible:
        msg = (
            "None of the chosen layers is visible, so that nothing is displayed. Show "
            "one, or export the raw data."
        )
        raise ArgumentError(msg)
    parts = [layers_to_export([layer], view=view) for layer in visible]
    for part in parts[1:]:
        _check_alike(parts[0], part)
    looks = [look_of(layer) for layer in visible]
    first = parts[0]
    order = range(first.n_axes) if view is None else layer_order(view, first.n_axes)
    low, high = sorted(first.axes.index(axis) for axis in order[-2:])
    canvas = np.array([*background, 1.0], dtype=np.float32)
    levels = tuple(
        DisplayedLevel(
            tuple(part.source.levels[index] for part in parts),
            tuple(looks),
            canvas,
            (low, high),
        )
        for index in range(len(first.source.levels))
    )
    source = dataclasses.replace(
        first.source,
        levels=levels,
        axis_names=(*first.source.spatial_names, CHANNEL_AXIS),
        channel_names=("red", "green", "blue"),
        channel_colors=None,
        is_rgb=True,
        is_labels=False,
    )
    return dataclasses.replace(first, source=source)


def _check_alike(first: ExportLayer, other: ExportLayer) -> None:
    if first.shapes != other.shapes:
        what = f"levels of the shapes {other.shapes}, not {first.shapes}"
    elif first.units != other.units or not is_same_place(first.matrix, other.matrix):
        what = "another place, or other units"
    else:
        return
    msg = (
        f"{other.source.name!r} has {what} as {first.source.name!r}; only layers of "
        "one image can be exported together as displayed. Export them one by one, or "
        "hide one of them."
    )
    raise ArgumentError(msg)


class DisplayedLevel:
    """A level as it is drawn: indexing a box reads the layers and blends them.

    Parameters
    ----------
    levels : sequence of array-likes
        This level of each layer, bottom to top; colours of RGB layers last.
    looks : sequence of LayerLook
        How each one is drawn.
    canvas : ndarray, (4,)
        Colour and opacity of what is below.
    planes : (int, int)
        Axes of the planes that outlines of labels are drawn in.
    """

    def __init__(
        self,
        levels: Sequence[Any],
        looks: Sequence[LayerLook],
        canvas: npt.NDArray[np.float32],
        planes: tuple[int, int],
    ) -> None:
        first = levels[0].shape
        spatial = first[:-1] if looks[0].is_rgb else first
        self.shape = (*(int(size) for size in spatial), _N_COLORS)
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)
        self._levels = tuple(levels)
        self._looks = tuple(looks)
        self._canvas = canvas
        self._planes = planes

    @property
    def chunks(self) -> Any:
        """Sizes in which the lowest layer is read best; None if it does not say."""
        chunks = getattr(self._levels[0], "chunks", None)
        if not chunks or len(chunks) < len(self.shape) - 1:
            return None
        is_size = isinstance(chunks[0], int | np.integer)
        colors = _N_COLORS if is_size else (_N_COLORS,)
        return (*chunks[: len(self.shape) - 1], colors)

    def __getitem__(self, box: tuple[slice, ...]) -> npt.NDArray[np.uint8]:
        ranges = [
            range(*part.indices(size))
            for part, size in zip(box, self.shape, strict=False)
        ]
        ranges += [range(size) for size in self.shape[len(ranges) :]]
        spatial = ranges[:-1]
        drawn = np.empty((*(len(part) for part in spatial), 4), dtype=np.float32)
        drawn[...] = self._canvas
        for index, (level, look) in enumerate(
            zip(self._levels, self._looks, strict=True)
        ):
            colors = look.colors(self._pixels(level, look, spatial))
            blend(drawn, colors, look.blending, is_first=index == 0)
        colors_range = ranges[-1]
        picked = drawn[..., slice(colors_range.start, colors_range.stop)]
        return np.rint(picked * 255).astype(np.uint8)

    def _pixels(
        self, level: Any, look: LayerLook, spatial: Sequence[range]
    ) -> npt.NDArray[Any]:
        """Return the pixels of a box; labels as outlines if they are drawn so."""
        margin = look.contour
        wider, inner = [], []
        for axis, part in enumerate(spatial):
            extra = margin if axis in self._planes else 0
            start = max(0, part.start - extra)
            stop = min(self.shape[axis], part.stop + extra)
            wider.append(slice(start, stop))
            inner.append(slice(part.start - start, part.stop - start))
        box = (*wider, slice(0, int(level.shape[-1]))) if look.is_rgb else tuple(wider)
        # one channel, read as the writer reads layers: a thread at a time if need be
        pixels: npt.NDArray[Any] = StackedPixels((level,))[(slice(0, 1), *box)][0]
        if look.contour:
            background = int(getattr(look.colormap, "background_value", 0))
            pixels = outlined(pixels, look.contour, background, self._planes)
            pixels = pixels[tuple(inner)]
        return pixels
