"""Sample images: real tissue from scikit-image's package, and seeded synthetic cells.

Nothing is ever downloaded. Used by the sample data, the demo, the tests and the
benchmarks.
"""

from __future__ import annotations

import math
import operator
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .errors import ArgumentError, DoesNotExistError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

#: Rows of one level computed at a time by `pyramid`; bounds the working memory.
_BAND_ROWS: Final = 128
#: Typical distance between two synthetic cells, and their nuclear radius, in x pixels.
_CELL_SPACING: Final = 44.0
_NUCLEUS_RADIUS: Final = 13.0
#: Depth of one synthetic plane, in x pixels.
_Z_STEP: Final = 3.0


def tissue(shape_yx: Sequence[int] = (8192, 8192)) -> npt.NDArray[np.uint8]:
    """Return a picture of stained colon tissue of any size.

    The 512 x 512 immunohistochemistry picture in scikit-image's wheel, mirrored at its
    edges as often as needed, so that there are no seams.

    Parameters
    ----------
    shape_yx : sequence of int, (2,)
        Height and width in pixels, each >= 1.

    Returns
    -------
    ndarray of uint8, (Y, X, 3)
        Red, green and blue last.

    Raises
    ------
    ArgumentError
        If `shape_yx` is not two positive ints.
    DoesNotExistError
        If this scikit-image came without the picture.
    """
    return TissueMosaic(shape_yx)[:]


class TissueMosaic:
    """The picture of `tissue`, made where it is asked for; as large as you like.

    An array-like of shape (Y, X, 3), or (3, Y, X) with `channels_first`, that
    understands unstepped, non-negative slices.

    Parameters
    ----------
    shape_yx : sequence of int, (2,)
        Height and width in pixels, each >= 1.
    channels_first : bool, optional
        Put the colours first instead of last.
    picture : ndarray, (y, x, c), optional
        What to mirror; default is scikit-image's tissue.

    Raises
    ------
    ArgumentError
        If `shape_yx` is not two positive ints.
    DoesNotExistError
        If this scikit-image came without the picture.
    """

    def __init__(
        self,
        shape_yx: Sequence[int],
        *,
        channels_first: bool = False,
        picture: npt.NDArray[Any] | None = None,
    ) -> None:
        height, width = _check_shape("shape_yx", shape_yx, 2)
        self._picture = _tissue_picture() if picture is None else picture
        self._channels_first = channels_first
        channels = self._picture.shape[2]
        self.dtype = self._picture.dtype
        self.shape = (
            (channels, height, width) if channels_first else (height, width, channels)
        )
        self.ndim = 3

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        keys = key if isinstance(key, tuple) else (key,)
        keys += (slice(None),) * (3 - len(keys))
        bounds = [k.indices(n)[:2] for k, n in zip(keys, self.shape, strict=True)]
        if self._channels_first:
            bounds = [*bounds[1:], bounds[0]]
        (y0, y1), (x0, x1), (c0, c1) = bounds
        rows = _mirrored_indices(y0, y1, self._picture.shape[0])
        columns = _mirrored_indices(x0, x1, self._picture.shape[1])
        block = self._picture[:, columns, c0:c1][rows]
        return np.moveaxis(block, -1, 0) if self._channels_first else block


def volume(
    shape_czyx: Sequence[int] = (2, 30, 200, 240), *, seed: int = 1
) -> npt.NDArray[np.uint16]:
    """Return a synthetic 3-D fluorescence image of cells, the same on every call.

    Channel 0 looks like stained nuclei, channel 1 like cell membranes; every further
    channel like a marker in the cytoplasm of some of the cells. Planes are 3 x pixels
    apart. Photon noise included.

    Parameters
    ----------
    shape_czyx : sequence of int, (4,)
        Channels, planes, rows and columns, each >= 1.
    seed : int, optional
        Another number gives other cells.

    Returns
    -------
    ndarray of uint16, (C, Z, Y, X)

    Raises
    ------
    ArgumentError
        If `shape_czyx` is not four positive ints.
    """
    n_channels, *shape_zyx = _check_shape("shape_czyx", shape_czyx, 4)
    rng = np.random.default_rng(seed)
    nearest, second, owner, n_cells = _cell_distances(tuple(shape_zyx), rng)
    brightness = rng.uniform(0.6, 1.0, n_cells).astype(np.float32)
    image = np.empty((n_channels, *shape_zyx), np.uint16)
    for channel in range(n_channels):
        if channel == 0:
            edge = (nearest - np.float32(_NUCLEUS_RADIUS)) / np.float32(1.5)
            signal = brightness[owner] / (1 + np.exp(np.clip(edge, -30, 30)))
        elif channel == 1:
            signal = np.exp(-(((second - nearest) / np.float32(3.0)) ** 2))
        else:
            positive = (rng.random(n_cells) < 0.4).astype(np.float32)
            outside = nearest > np.float32(_NUCLEUS_RADIUS)
            signal = positive[owner] * outside * np.exp(-nearest / np.float32(40.0))
        image[channel] = _photons(signal, rng)
    return image


def pyramid(
    array: npt.NDArray[Any],
    *,
    axes: Sequence[int] = (-2, -1),
    factor: int = 2,
    until: int = 512,
) -> list[npt.NDArray[Any]]:
    """Return a picture and ever smaller versions of it, finest first.

    Each level is the exact area mean of `array`: level sizes are rounded up, and a
    pixel that is partly covered counts by its covered part. Means are rounded once, to
    the nearest (ties to even) for integer types.

    Parameters
    ----------
    array : ndarray
        The reference level.
    axes : sequence of int, optional
        Axes to make smaller; the others keep their size.
    factor : int, optional
        Step factor between neighbouring levels, >= 2.
    until : int, optional
        Stop at the first level whose longest side along `axes` is at most this.

    Returns
    -------
    list of ndarray
        `array` itself first.

    Raises
    ------
    ArgumentError
        If `factor` is below 2, `until` below 1, or `axes` is empty.
    """
    if factor < 2 or until < 1 or not axes:
        msg = (
            "pyramid needs factor >= 2, until >= 1 and at least one axis, got "
            f"factor={factor!r}, until={until!r}, axes={tuple(axes)!r}"
        )
        raise ArgumentError(msg)
    axes = [axis % array.ndim for axis in axes]
    levels, exact = [array], array
    while max(levels[-1].shape[axis] for axis in axes) > until:
        exact = _area_mean(exact, axes, factor)
        levels.append(_to_dtype(exact, array.dtype))
    return levels


def _check_shape(name: str, shape: Sequence[int], n_axes: int) -> tuple[int, ...]:
    try:
        sizes = tuple(operator.index(size) for size in shape)
    except TypeError:
        sizes = ()
    if len(sizes) != n_axes or min(sizes) < 1:
        msg = f"{name} must be {n_axes} ints, each at least 1; got {shape!r}"
        raise ArgumentError(msg)
    return sizes


@cache
def _tissue_picture() -> npt.NDArray[np.uint8]:
    # Read from the installed package: skimage.data's own functions need pooch and
    # would download the file if it were missing.
    from pathlib import Path

    import skimage
    from skimage.io import imread

    path = Path(skimage.__file__).with_name("data") / "ihc.png"
    if not path.is_file():
        msg = (
            f"The installed scikit-image lacks its tissue picture {str(path)!r}; "
            "install it again: pip install --force-reinstall scikit-image"
        )
        raise DoesNotExistError(msg)
    picture = np.ascontiguousarray(imread(path)[..., :3], dtype=np.uint8)
    picture.flags.writeable = False
    return picture


def _mirrored_indices(start: int, stop: int, size: int) -> npt.NDArray[np.intp]:
    """Return where pixels [start, stop) of the mosaic lie in a picture `size` long."""
    phase = np.arange(start, max(start, stop)) % (2 * size)
    return np.where(phase < size, phase, 2 * size - 1 - phase)


def _cell_distances(
    shape_zyx: tuple[int, ...], rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.intp], int]:
    """Return each voxel's distance to the two nearest cells, and the nearest cell.

    Cells sit on a jittered grid, so only voxels near a cell have to look at it.
    """
    steps = np.array([_Z_STEP, 1.0, 1.0])
    extent = np.array(shape_zyx) * steps
    counts = np.maximum(1, np.rint(extent / _CELL_SPACING)).astype(int) + 2
    # One ring of cells outside, so that the border has cells on all sides.
    corners = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), -1) - 1
    jitter = rng.uniform(0.2, 0.8, (int(counts.prod()), 3))
    centres = (corners.reshape(-1, 3) + jitter) * extent / (counts - 2)
    reach = 1.6 * extent / (counts - 2) + _CELL_SPACING / 2
    nearest = np.full(shape_zyx, 1e6, np.float32)
    second = nearest.copy()
    owner = np.zeros(shape_zyx, np.intp)
    for number, centre in enumerate(centres):
        low = np.maximum(0, (centre - reach) / steps).astype(int)
        high = np.minimum(shape_zyx, np.ceil((centre + reach) / steps)).astype(int)
        if np.any(low >= high):
            continue
        near = tuple(map(slice, low, high))
        offsets = [
            (np.arange(a, b) + 0.5) * step - c
            for a, b, step, c in zip(low, high, steps, centre, strict=True)
        ]
        z, y, x = np.ix_(*offsets)
        distance = np.sqrt(z * z + y * y + x * x, dtype=np.float64).astype(np.float32)
        closer = distance < nearest[near]
        second[near] = np.where(
            closer, nearest[near], np.minimum(second[near], distance)
        )
        owner[near][closer] = number
        nearest[near] = np.minimum(nearest[near], distance)
    return nearest, second, owner, len(centres)


def _photons(
    signal: npt.NDArray[np.float32], rng: np.random.Generator
) -> npt.NDArray[np.uint16]:
    """Return camera counts for a signal in [0, 1]: offset 100, shot and read noise."""
    counts = 150 * signal + 4
    noise = rng.standard_normal(signal.shape, np.float32)
    counts += np.sqrt(counts) * noise
    return (np.clip(counts, 0, 400) * 24 + 100).astype(np.uint16)


def _area_mean(
    array: npt.NDArray[Any], axes: Sequence[int], factor: int
) -> npt.NDArray[Any]:
    """Return the unrounded area mean, `factor` times smaller along `axes`."""
    wide = array.dtype.itemsize > 2 and array.dtype != np.float32
    dtype = np.dtype(np.float64 if wide else np.float32)
    shape = list(array.shape)
    for axis in axes:
        shape[axis] = -(-shape[axis] // factor)
    result = np.empty(shape, dtype)
    band_axis = axes[0]
    ratio = array.shape[band_axis] / shape[band_axis]
    for start, stop in _bands(shape[band_axis]):
        first = math.floor(start * ratio)
        last = min(array.shape[band_axis], math.ceil(stop * ratio))
        band: npt.NDArray[Any] = array[_along(band_axis, slice(first, last))]
        band = _mean_along(band, band_axis, array.shape[band_axis], start, stop, factor)
        for axis in axes[1:]:
            band = _mean_along(band, axis, band.shape[axis], 0, shape[axis], factor)
        result[_along(band_axis, slice(start, stop))] = band
    return result


def _bands(n_rows: int) -> Iterator[tuple[int, int]]:
    for start in range(0, n_rows, _BAND_ROWS):
        yield start, min(start + _BAND_ROWS, n_rows)


def _mean_along(
    band: npt.NDArray[Any], axis: int, size: int, start: int, stop: int, factor: int
) -> npt.NDArray[Any]:
    """Return output pixels [start, stop) along one axis.

    `band` begins at the first input pixel that they touch; `size` is the full input
    size of the axis.
    """
    wide = band.dtype.itemsize > 2 and band.dtype != np.float32
    dtype = np.dtype(np.float64 if wide else np.float32)
    new_size = -(-size // factor)
    ratio = size / new_size
    edges = np.arange(start, stop) * ratio
    low = np.floor(edges).astype(int)
    total: npt.NDArray[Any] = np.zeros(
        (*band.shape[:axis], stop - start, *band.shape[axis + 1 :]), dtype
    )
    for tap in range(math.ceil(ratio) + 1):
        covered = np.minimum(edges + ratio, low + tap + 1) - np.maximum(
            edges, low + tap
        )
        weight = np.clip(covered, 0, None) / ratio
        if not weight.any():
            continue
        index = np.minimum(low + tap - low[0], band.shape[axis] - 1)
        weight = weight.astype(dtype).reshape((-1,) + (1,) * (band.ndim - axis - 1))
        total += band.take(index, axis) * weight
    return total


def _along(axis: int, key: slice) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, key)


def _to_dtype(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if dtype.kind not in "iu":
        return values.astype(dtype)
    rounded: npt.NDArray[Any] = np.rint(values).astype(dtype)
    return rounded
