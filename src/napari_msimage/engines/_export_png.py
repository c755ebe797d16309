"""Export as PNG, for figures: one picture of gray or colours, in memory as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ._export_blocks import bands
from ._export_mask import AlphaPixels
from ._export_pixels import TransposedPixels

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._export_plan import ExportPlan, PlannedFile
    from ._export_threads import Ticker
    from ._export_writers import ExportPixels

#: Bytes read at a time, rows at a time.
_READ_BYTES: Final = 12 * 2**20
_ROWS: Final = 512
#: Reading takes one part of so many of the time.
_READING: Final = 8
#: Of zlib: on tissue twice as fast as the default, for a tenth more bytes.
_LEVEL: Final = 1
#: Pillow's modes by number of channels and bytes of each.
_MODES: Final = {
    (1, 1): "L",
    (2, 1): "LA",
    (3, 1): "RGB",
    (4, 1): "RGBA",
    (1, 2): "I;16",
}


def write_png(
    plan: ExportPlan,
    file: PlannedFile,
    pixels: ExportPixels,
    path: str,
    tick: Ticker,
) -> None:
    """Write one plane of pixels, gray or colours, as PNG.

    Parameters
    ----------
    plan : ExportPlan
        The plan.
    file : PlannedFile
        Which part of it.
    pixels : ExportPixels
        Pixels, of one plane.
    path : str
        Where.
    tick : Ticker
        Gets the bytes written.
    """
    from PIL import Image

    channel_axis = plan.source.channel_axis
    if isinstance(pixels, AlphaPixels):
        channel_axis = pixels.channel_axis
    plane = plane_axes(pixels.shape, channel_axis)
    if _is_turned(plan, plane):
        plane = plane[::-1]
    channel = [] if channel_axis is None else [channel_axis]
    rest = [i for i in range(len(pixels.shape)) if i not in (*plane, *channel)]
    ordered = TransposedPixels(pixels, [*rest, *plane, *channel])
    n_channels = 1 if channel_axis is None else pixels.shape[channel_axis]
    height, width = (pixels.shape[i] for i in plane)
    image = Image.new(_MODES[n_channels, pixels.dtype.itemsize], (width, height))
    top = 0
    for band in bands(ordered, len(rest), _ROWS, _READ_BYTES):
        image.paste(_band(band, Image), (0, top))
        top += len(band)
        tick(band.nbytes // _READING)
    rest_bytes = file.nbytes - file.nbytes // _READING
    with open(path, "wb") as opened:
        target: Any = _Watched(opened, tick, rest_bytes, file.estimated_bytes)
        image.save(target, "png", compress_level=_LEVEL)


def plane_axes(shape: tuple[int, ...], channel_axis: int | None) -> tuple[int, int]:
    """Return the two axes of the picture: the last two with more than one pixel."""
    spatial = [i for i in range(len(shape)) if i != channel_axis]
    while len(spatial) > 2:
        spatial.remove(next((i for i in spatial if shape[i] == 1), spatial[0]))
    return spatial[0], spatial[1]


def _is_turned(plan: ExportPlan, plane: tuple[int, int]) -> bool:
    """Tell whether the image has the second axis of a plane down, the first across.

    That is so for images stored as (x, y).
    """
    source = plan.source
    names = source.coordinate_names or source.spatial_names[::-1]
    down, across = (names.index(source.axis_names[axis]) for axis in plane)
    return down < across


def _band(band: npt.NDArray[Any], image: Any) -> Any:
    """Return rows as an image of Pillow."""
    if band.ndim == 2 or band.shape[2] == 1:
        rows = np.ascontiguousarray(band.reshape(band.shape[:2]))
        return image.fromarray(rows)
    if band.flags.c_contiguous:
        return image.fromarray(band)
    # Planes of colours are put together faster there than by numpy.
    planes = [
        image.fromarray(np.ascontiguousarray(band[..., i]))
        for i in range(band.shape[2])
    ]
    return image.merge(_MODES[band.shape[2], 1], planes)


class _Watched:
    """A file that stops being written when the work is not wanted any more.

    Parameters
    ----------
    file : file
        What is written to.
    tick : Ticker
        Gets the bytes of pixels done.
    n_bytes : int
        How many bytes of pixels are to be written.
    expected : int
        Bytes that the file is expected to have.
    """

    def __init__(self, file: Any, tick: Ticker, n_bytes: int, expected: int) -> None:
        self._file = file
        self._tick = tick
        self._left = n_bytes
        self._ratio = n_bytes / expected

    def write(self, data: bytes) -> int:
        """Write bytes."""
        done = min(self._left, round(len(data) * self._ratio))
        self._left -= done
        self._tick(done)
        return int(self._file.write(data))

    def flush(self) -> None:
        """Do what a file does."""
        self._file.flush()
