"""Pixels outside of an outline: filled or transparent, block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ._export_blocks import AxisGrid
from ._windows import whole_window, window_shape

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._export_pixels import RegionPixels
    from ._export_plan import ExportPlan, PlannedFile
    from ._export_writers import ExportPixels
from ._windows import Window

#: Edges of the pieces that are looked at: those that the outline does not cross are
#: inside or outside as a whole.
_PIECES: Final = (512, 128, 32)


def masked(plan: ExportPlan, file: PlannedFile, pixels: RegionPixels) -> ExportPixels:
    """Return pixels with what is outside the outline masked, if the plan wants that."""
    region = file.region
    if not plan.options.mask:
        return pixels
    axis = plan.source.channel_axis
    outline = None
    axes = (0, 1)
    if region is not None and region.outline is not None:
        axes = region.outline_axes
        box = [bounds for i, bounds in enumerate(file.window) if i != axis]
        factors = np.divide(
            plan.source.spatial_shape(plan.level), plan.source.spatial_shape(0)
        )
        starts = np.array([box[a][0] for a in axes], float)
        outline = np.asarray(region.outline, float) * factors[list(axes)] - starts
    if outline is None and not plan.options.alpha:
        return pixels
    positions = [i for i in range(len(file.window)) if i != axis]
    mask = _Outline(outline, (positions[axes[0]], positions[axes[1]]))
    if plan.options.alpha:
        return AlphaPixels(pixels, mask, axis)
    return FilledPixels(pixels, mask, plan.options.fill_value)


class _Outline:
    """A polygon over two axes of an array.

    Parameters
    ----------
    corners : ndarray, (n, 2), optional
        In pixels, pixel i covering [i, i + 1). None: everything is inside.
    axes : (int, int)
        Axes of the array of the two columns.
    """

    def __init__(
        self, corners: npt.NDArray[np.float64] | None, axes: tuple[int, int]
    ) -> None:
        self._axes = axes
        # Centres of pixels at whole numbers.
        self._corners = None if corners is None else corners - 0.5

    def inside(self, window: Window) -> npt.NDArray[np.bool_]:
        """Tell which pixels of a window have their centres inside.

        Returns
        -------
        ndarray of bool
            To be broadcast against the window.
        """
        rows, columns = (window[axis] for axis in self._axes)
        found = self._plane(rows, columns)
        shape = [1] * len(window)
        shape[self._axes[0]], shape[self._axes[1]] = found.shape
        if self._axes[0] > self._axes[1]:
            found = found.T
        return found.reshape(shape)

    def _plane(
        self, rows: tuple[int, int], columns: tuple[int, int]
    ) -> npt.NDArray[np.bool_]:
        shape = (rows[1] - rows[0], columns[1] - columns[0])
        if self._corners is None:
            return np.ones(shape, np.bool_)
        found = np.empty(shape, np.bool_)
        following = np.roll(self._corners, -1, axis=0)
        edges = np.stack(
            (np.minimum(self._corners, following), np.maximum(self._corners, following))
        )
        self._fill(found, (rows[0], columns[0]), _PIECES, edges)
        return found

    def _fill(
        self,
        found: npt.NDArray[np.bool_],
        low: tuple[int, int],
        sizes: tuple[int, ...],
        edges: npt.NDArray[np.float64],
    ) -> None:
        """Tell of a piece, by smaller ones where the outline may run through it.

        `edges` are the least and the greatest coordinates of those that may do so.
        """
        corner = np.asarray(low)
        high = corner + found.shape
        near = ((edges[1] >= corner - 1) & (edges[0] <= high)).all(axis=1)
        if not near.any():
            found[...] = self._raster(corner, (1, 1))
        elif not sizes:
            found[...] = self._raster(corner, found.shape)
        else:
            edges, size = edges[:, near], sizes[0]
            for top in range(0, found.shape[0], size):
                for left in range(0, found.shape[1], size):
                    part = found[top : top + size, left : left + size]
                    at = (low[0] + top, low[1] + left)
                    self._fill(part, at, sizes[1:], edges)

    def _raster(
        self, corner: npt.NDArray[Any], shape: tuple[int, ...]
    ) -> npt.NDArray[np.bool_]:
        from skimage import draw

        polygon: Any = draw.polygon
        assert self._corners is not None
        found = np.zeros(shape, np.bool_)
        found[polygon(*(self._corners - corner).T, shape)] = True
        return found


class FilledPixels:
    """Pixels that have one value outside of an outline."""

    def __init__(self, pixels: RegionPixels, mask: _Outline, value: Any) -> None:
        self._pixels = pixels
        self._mask = mask
        self._value = value
        self.shape, self.dtype, self.ndim = pixels.shape, pixels.dtype, pixels.ndim
        self.chunks, self.uri = pixels.chunks, pixels.uri

    @property
    def grid(self) -> tuple[AxisGrid, ...]:
        """Where the blocks of the source lie, per axis."""
        return self._pixels.grid

    def read(
        self, window: Window, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """Return the pixels of a window; `out` is memory that may be used."""
        inside = self._mask.inside(window)
        if inside.all():
            return self._pixels.read(window, out)
        shape = window_shape(window)
        if not inside.any():
            return np.full(shape, self._value, self.dtype)
        found = self._pixels.read(window, out)
        return np.where(inside, found, self.dtype.type(self._value))

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        return self.read(_window_of(key, self.shape))

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        pixels = self.read(whole_window(self.shape))
        return pixels if dtype is None else pixels.astype(dtype, copy=False)


class AlphaPixels:
    """Pixels of 8 bits with one channel more: 255 inside of an outline, 0 outside.

    An alpha channel that is there already is multiplied with it.

    Parameters
    ----------
    pixels : RegionPixels
        Gray, RGB or RGBA.
    mask : _Outline
        The outline.
    channel_axis : int, optional
        Position of the channel axis; a last one is added if there is none.
    """

    def __init__(
        self, pixels: RegionPixels, mask: _Outline, channel_axis: int | None
    ) -> None:
        self._pixels = pixels
        self._mask = mask
        self._is_new = channel_axis is None
        shape = (*pixels.shape, 1) if channel_axis is None else pixels.shape
        self.channel_axis = len(shape) - 1 if channel_axis is None else channel_axis
        self._n_given = shape[self.channel_axis]
        self.has_alpha = self._n_given == 4
        n_channels = self._n_given + (not self.has_alpha)
        self.shape = tuple(
            n_channels if i == self.channel_axis else n for i, n in enumerate(shape)
        )
        self.dtype, self.ndim = pixels.dtype, len(shape)

    @property
    def grid(self) -> tuple[AxisGrid, ...]:
        """Where the blocks of the source lie, per axis."""
        axes = [*self._pixels.grid, *([AxisGrid(1, 1)] if self._is_new else [])]
        n_channels = self.shape[self.channel_axis]
        axes[self.channel_axis] = AxisGrid(n_channels, n_channels)
        return tuple(axes)

    def read(
        self, window: Window, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """Return the pixels of a window; `out` is not used."""
        del out
        axis = self.channel_axis
        given = list(window)
        given[axis] = (0, self._n_given)
        inside = self._mask.inside(tuple(given))
        if self._is_new:
            colours = self._pixels.read(tuple(given[:-1]))[..., None]
        else:
            colours = self._pixels.read(tuple(given))
        shape = list(colours.shape)
        shape[axis] = 1
        alpha = np.where(np.broadcast_to(inside, shape), np.uint8(255), np.uint8(0))
        if self.has_alpha:
            colours, own = np.split(colours, [3], axis)
            alpha = np.minimum(alpha, own)
        found = np.concatenate((colours, alpha), axis)
        return found[(slice(None),) * axis + (slice(*window[axis]),)]

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        return self.read(_window_of(key, self.shape))


def _window_of(key: Any, shape: tuple[int, ...]) -> Window:
    bounds = [part.indices(n) for part, n in zip(key, shape, strict=True)]
    return tuple((start, stop) for start, stop, _ in bounds)
