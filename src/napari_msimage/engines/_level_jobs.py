"""One job of a pass: a box of several levels, read, combined and written by blocks.

A job holds addresses and numbers only, so that it can run anywhere; it opens what it
needs, and writes to disjoint whole tiles.
"""

from __future__ import annotations

import dataclasses
import math
from itertools import islice, product
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from ..storage import ArrayWriter, LevelArray
from ._downsample import Downsampler, Method
from ._level_blocks import HEAVY_TILE_BYTES, READ_BYTES, WRITE_BYTES
from ._pass_source import SourceTiles, block_ranges
from ._stored_level import CancelledError
from ._windows import (
    Window,
    origin_of,
    window_shape,
    window_slices,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from ..storage import SOMATileDBContext, TileStream
    from ._level_shapes import Shape
    from ._pixel_source import GivenLevel

#: TileDB's setting for the decoded tiles of a read, in bytes.
_TILE_MEMORY: Final = "sm.mem.tile_upper_memory_limit"

#: A piece of a level that is kept in memory: position of the level in the pass, box of
#: the level, and its pixels.
Piece = tuple[int, Window, "npt.NDArray[Any]"]


@dataclasses.dataclass(frozen=True, slots=True)
class LevelJob:
    """A box of the levels of one pass; data axis order throughout."""

    source_uri: str
    """Address of the source's array."""
    source_timestamp_ms: int
    """Which state of it to read."""
    context: SOMATileDBContext
    """TileDB configuration."""
    method: Method
    """How pixels are combined."""
    dtype: np.dtype[Any]
    """Pixel type."""
    source_shape: Shape
    """Shape of the source."""
    source_extents: Shape
    """Tile extents of the source."""
    shapes: tuple[Shape, ...]
    """Shapes of all levels of the pass, the root first."""
    targets: tuple[str, ...]
    """Addresses of the levels that are written at once."""
    extents: tuple[Shape, ...]
    """Their tile extents."""
    timestamp_ms: int
    """Timestamp of what is written."""
    box: Window
    """What to make, in root pixels."""
    step: Shape
    """Root pixels of a block."""
    band_axis: int
    """See `LevelPass`."""
    split_axis: int | None
    """Axis along which each tile gets a fragment of its own."""
    snap: Shape = ()
    """Source pixels of whole tiles that blocks end with, by axis, 0 for any; empty if
    blocks are `step` along all axes."""
    is_edge: bool = False
    """Whether the box is not made of whole tiles, and so written in one piece."""
    given: GivenLevel | None = None
    """Pixels of this process to read instead of the stored source."""

    def factors(self, position: int) -> Shape:
        """Return root pixels per pixel of a level of the pass."""
        pairs = zip(self.shapes[0], self.shapes[position], strict=True)
        return tuple(n // m for n, m in pairs)

    def box_of(self, position: int, window: Window) -> Window:
        """Return what a box of the root is in a level of the pass."""
        pairs = zip(window, self.factors(position), strict=True)
        return tuple((a // f, b // f) for (a, b), f in pairs)

    @property
    def blocks(self) -> Iterator[Window]:
        """Blocks of the box, in the order that completes bands one after the other."""
        snap = self.snap or (0,) * len(self.box)
        sizes = zip(self.source_shape, self.shapes[0], strict=True)
        coarse = self.factors(len(self.shapes) - 1)
        yield from product(*map(block_ranges, self.box, self.step, snap, sizes, coarse))


def run_job(
    job: LevelJob,
    is_cancelled: Callable[[], bool] = lambda: False,
    report: Callable[[int], object] = lambda _: None,
) -> list[Piece]:
    """Do a job; return the pieces of the levels that are kept in memory.

    Parameters
    ----------
    job : LevelJob
        What to do.
    is_cancelled : callable
        Asked before each block, which is a few MiB.
    report : callable
        Told the root pixels of each block when it is done.

    Raises
    ------
    CancelledError
        If it was cancelled; what was written is not complete then.
    SOMAError
        If reading or writing fails.
    """
    downsampler = Downsampler(job.method, job.dtype, job.source_shape, job.shapes)
    sinks: list[_Sink] = []
    try:
        for position in range(len(job.shapes)):
            sinks.append(_make_sink(job, position))
        with _open_source(job) as level:
            source = _reader(level, job, downsampler)
            for block in job.blocks:
                if is_cancelled():
                    raise CancelledError
                pixels = source.read(downsampler.source_box(block))
                made = downsampler.downsample(pixels, block)
                for position, (sink, part) in enumerate(zip(sinks, made, strict=True)):
                    sink.put(job.box_of(position, block), part)
                del pixels, made, part  # else they are there beside the next ones
                report(math.prod(window_shape(block)))
        for sink in sinks:
            sink.finish()
    finally:
        for sink in sinks:
            sink.close()
    return [
        (position, sink.box, sink.pixels)
        for position, sink in enumerate(sinks)
        if isinstance(sink, _KeptSink) and position >= len(job.targets)
    ]


class _StoredLevel:
    """The source as it is stored."""

    def __init__(self, job: LevelJob) -> None:
        context = job.context
        tile_bytes = math.prod(job.source_extents) * job.dtype.itemsize
        is_heavy = tile_bytes >= HEAVY_TILE_BYTES
        if is_heavy and _TILE_MEMORY not in context.tiledb_config:
            context = context.replace(tiledb_config={_TILE_MEMORY: READ_BYTES})
        self._level = LevelArray(
            job.source_uri, context=context, timestamp_ms=job.source_timestamp_ms
        )
        self.shape, self.dtype = self._level.shape, self._level.dtype

    def read(
        self, window: Window, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """Return the pixels of a window, in the memory of `out` if given."""
        return self._level[window_slices(window)].read(cached=False, out=out)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._level.close()


def _open_source(job: LevelJob) -> _StoredLevel | GivenLevel:
    return _StoredLevel(job) if job.given is None else job.given


def _reader(
    level: _StoredLevel | GivenLevel, job: LevelJob, downsampler: Downsampler
) -> _SourceRows | SourceTiles:
    if not any(job.snap):
        return _SourceRows(level, job)
    pairs = zip(job.source_shape, job.shapes[0], strict=True)
    return SourceTiles(
        level,
        job.source_extents,
        [snap > 0 for snap in job.snap],
        [n % m > 0 for n, m in pairs],
        downsampler.source_box(job.box),
    )


class _SourceRows:
    """Reads boxes of the source; tiles that two blocks share are decoded once.

    Blocks follow each other along the band axis, and with ratios that are not whole
    they begin and end within tiles: rows are read up to the next tile border, and what
    is left of them is kept for the next block.
    """

    def __init__(self, level: _StoredLevel | GivenLevel, job: LevelJob) -> None:
        self._level = level
        self._axis = axis = job.band_axis
        self._extent = job.source_extents[axis]
        lengths = window_shape(job.box)
        self._rolls = all(
            k >= n
            for k, n in zip(job.step[axis + 1 :], lengths[axis + 1 :], strict=True)
        )
        self._box: Window | None = None
        self._pixels = self._buffer = np.empty(0, level.dtype)

    def read(self, box: Window) -> npt.NDArray[Any]:
        """Return the pixels of a box."""
        if not self._rolls:
            return self._read_again(box)
        axis = self._axis
        start, stop = box[axis]
        size = self._level.shape[axis]
        end = min(-(-stop // self._extent) * self._extent, size)
        kept = self._kept_rows(box)
        self._pixels = self._buffer  # lets go of those of the block before
        if kept is None:
            self._pixels = self._level.read(_with_range(box, axis, start, end))
        elif (had := start + kept.shape[axis]) >= end:
            self._pixels = kept
        else:
            fresh = self._level.read(_with_range(box, axis, had, end))
            self._pixels = np.concatenate([kept, fresh], axis)
        self._box = _with_range(box, axis, start, start + self._pixels.shape[axis])
        return self._pixels[_along(axis, 0, stop - start)]

    def _kept_rows(self, box: Window) -> npt.NDArray[Any] | None:
        """Return the rows at hand from the start of a box on, or None."""
        if self._box is None:
            return None
        axis = self._axis
        start, (low, high) = box[axis][0], self._box[axis]
        if _with_range(box, axis, low, high) != self._box or not low <= start < high:
            return None
        return self._pixels[_along(axis, start - low, high - low)]

    def _read_again(self, box: Window) -> npt.NDArray[Any]:
        """Read a box into the memory of the one before, where that is large enough."""
        shape = window_shape(box)
        if self._buffer.size < math.prod(shape):
            self._buffer = np.empty(math.prod(shape), self._level.dtype)
        out = self._buffer[: math.prod(shape)].reshape(shape)
        return self._level.read(box, out)


def _with_range(box: Window, axis: int, start: int, stop: int) -> Window:
    return (*box[:axis], (start, stop), *box[axis + 1 :])


def _along(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(start, stop),)


# Where the pixels of a level go -------------------------------------------------


class _Sink:
    """Takes the pixels of one level of a job, block by block."""

    def put(self, window: Window, pixels: npt.NDArray[Any]) -> None:
        """Take the pixels of a window of the level."""
        raise NotImplementedError

    def finish(self) -> None:
        """Write what is not written yet; all pixels are there."""

    def close(self) -> None:
        """Release what is open."""


def _make_sink(job: LevelJob, position: int) -> _Sink:
    box = job.box_of(position, job.box)
    if position >= len(job.targets):
        return _KeptSink(box, job.dtype)
    writer = ArrayWriter(job.targets[position], job.timestamp_ms, job.context)
    if job.is_edge:
        return _WholeSink(box, job.dtype, writer, job.extents[position])
    return _BandSink(job, position, writer)


class _KeptSink(_Sink):
    """Keeps the pixels of its box."""

    def __init__(self, box: Window, dtype: np.dtype[Any]) -> None:
        self.box = box
        self.pixels = np.empty(window_shape(box), dtype)

    def put(self, window: Window, pixels: npt.NDArray[Any]) -> None:
        self.pixels[window_slices(window, origin_of(self.box))] = pixels


class _WholeSink(_KeptSink):
    """Writes its box as one fragment, when it is complete."""

    def __init__(
        self, box: Window, dtype: np.dtype[Any], writer: ArrayWriter, extents: Shape
    ) -> None:
        super().__init__(box, dtype)
        self._writer = writer
        self._extents = extents

    def finish(self) -> None:
        start, stop = zip(*self.box, strict=True)
        ends = zip(start, stop, self._extents, strict=True)
        if any(a % e or b % e for a, b, e in ends):
            self._writer.write(start, stop, self.pixels)
            return
        stream = self._writer.stream(start, stop)
        tile_bytes = math.prod(self._extents) * self.pixels.itemsize
        tiles = self._tiles()
        while some := list(islice(tiles, max(1, WRITE_BYTES // tile_bytes))):
            stream.write(np.stack(some))

    def _tiles(self) -> Iterator[npt.NDArray[Any]]:
        """Yield the tiles in the order that TileDB stores them."""
        starts = [
            range(0, n, e)
            for n, e in zip(self.pixels.shape, self._extents, strict=True)
        ]
        for corner in product(*starts):
            ends = zip(corner, self._extents, strict=True)
            yield self.pixels[tuple(slice(at, at + e) for at, e in ends)]

    def close(self) -> None:
        self._writer.close()


class _BandSink(_Sink):
    """Writes bands of whole tiles to streams, each as soon as it is filled."""

    def __init__(self, job: LevelJob, position: int, writer: ArrayWriter) -> None:
        self._writer = writer
        self._dtype = job.dtype
        self._extents = job.extents[position]
        self._axis = job.band_axis
        self._split_axis = job.split_axis
        #: First and last tile (exclusive) of the box, per axis.
        self._tiles = tuple(
            (a // e, b // e)
            for (a, b), e in zip(
                job.box_of(position, job.box), self._extents, strict=True
            )
        )
        self._bands: dict[tuple[int, ...], _Band] = {}
        #: Written bands, to be filled again: fresh memory costs page faults.
        self._spare: list[_Band] = []
        self._streams: dict[int, TileStream] = {}
        self._n_written: dict[int, int] = {}

    def put(self, window: Window, pixels: npt.NDArray[Any]) -> None:
        touched = [
            range(a // e, -(-b // e))
            for (a, b), e in zip(window, self._extents, strict=True)
        ]
        leading = touched[: self._axis + 1]
        for index in product(*leading):
            band = self._bands.get(index)
            if band is None:
                band = self._bands[index] = self._empty_band()
            for rest in product(*touched[self._axis + 1 :]):
                band.put((*index, *rest), window, pixels)
            if band.is_full:
                self._write(index, self._bands.pop(index))
                self._spare.append(band)

    def _empty_band(self) -> _Band:
        if not self._spare:
            tiles = self._tiles[self._axis + 1 :]
            return _Band(tiles, self._extents, self._dtype)
        band = self._spare.pop()
        band.clear()
        return band

    def _write(self, index: tuple[int, ...], band: _Band) -> None:
        split = index[self._split_axis] if self._split_axis is not None else 0
        order = self._position(index)
        expected = self._n_written.get(split, 0)
        if order != expected:
            msg = f"band {index} was filled as number {order}, not {expected}"
            raise AssertionError(msg)
        self._n_written[split] = expected + 1
        stream = self._streams.get(split)
        if stream is None:
            stream = self._streams[split] = self._open_stream(split)
        tiles = band.tiles.reshape(-1, *self._extents)
        n_at_once = max(1, WRITE_BYTES // tiles[:1].nbytes)
        for at in range(0, len(tiles), n_at_once):
            stream.write(tiles[at : at + n_at_once])

    def _position(self, index: Sequence[int]) -> int:
        """Return the number of a band in its stream."""
        position = 0
        for axis, at in enumerate(index):
            if axis != self._split_axis:
                first, last = self._tiles[axis]
                position = position * (last - first) + at - first
        return position

    def _open_stream(self, split: int) -> TileStream:
        tiles = [
            (split, split + 1) if axis == self._split_axis else bounds
            for axis, bounds in enumerate(self._tiles)
        ]
        start = [a * e for (a, _), e in zip(tiles, self._extents, strict=True)]
        stop = [b * e for (_, b), e in zip(tiles, self._extents, strict=True)]
        return self._writer.stream(start, stop)

    def finish(self) -> None:
        if self._bands:
            msg = f"bands {list(self._bands)} are not filled"
            raise AssertionError(msg)

    def close(self) -> None:
        self._streams.clear()
        self._writer.close()


class _Band:
    """A row of whole tiles, laid out as TileDB stores them."""

    def __init__(
        self,
        tiles: Sequence[tuple[int, int]],
        extents: Shape,
        dtype: np.dtype[Any],
    ) -> None:
        self._extents = extents
        self._n_axes = len(tiles)
        self._first = tuple(first for first, _ in tiles)
        counts = [last - first for first, last in tiles]
        self.tiles = np.empty((*counts, *extents), dtype)
        self.clear()

    def clear(self) -> None:
        """Begin again, with nothing in it."""
        self._cells_left = self.tiles.size

    @property
    def is_full(self) -> bool:
        return not self._cells_left

    def put(
        self, tile: tuple[int, ...], window: Window, pixels: npt.NDArray[Any]
    ) -> None:
        """Copy the part of a window's pixels that lies in one tile."""
        inside, outside = [], []
        for at, extent, (a, b) in zip(tile, self._extents, window, strict=True):
            low, high = max(a, at * extent), min(b, (at + 1) * extent)
            inside.append(slice(low - at * extent, high - at * extent))
            outside.append(slice(low - a, high - a))
        part = pixels[tuple(outside)]
        rest = tile[len(tile) - self._n_axes :]
        place = tuple(at - first for at, first in zip(rest, self._first, strict=True))
        self.tiles[place][tuple(inside)] = part
        self._cells_left -= part.size
