"""Dask arrays of uneven chunks: computed chunks are kept until all was read of them.

Boxes that are read are cut along an even grid. Chunks of different sizes fit into no
such grid, so that several boxes share a chunk; dask alone would compute it for each.
Where a box touches chunks too large to be kept, more of it is read at once instead.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import threading
from collections import OrderedDict
from concurrent.futures import Future
from itertools import accumulate, product
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

#: What is kept of chunks that are not read to their end yet.
KEPT_BYTES: Final = 48 * 2**20
#: At least so many of them are kept: large chunks need memory anyway.
_KEPT_CHUNKS: Final = 2
#: What a thread reads at once, and keeps, of chunks too large to be kept.
_AHEAD_BYTES: Final = 16 * 2**20

_Index: TypeAlias = tuple[int, ...]
_Key: TypeAlias = tuple[slice, ...]
_Box: TypeAlias = "list[tuple[int, int]]"


class UnevenChunks:
    """Reads boxes of a dask array with uneven chunks, from any thread.

    Parameters
    ----------
    pixels : dask.array.Array
        The array.
    kept_bytes : int
        Most bytes of computed chunks to keep.
    """

    def __init__(self, pixels: Any, kept_bytes: int = KEPT_BYTES) -> None:
        self._pixels = pixels
        self._edges = [[0, *accumulate(sizes)] for sizes in pixels.chunks]
        largest = math.prod(max(sizes) for sizes in pixels.chunks)
        least = _KEPT_CHUNKS * largest * pixels.dtype.itemsize
        self._most_bytes = max(kept_bytes, least)
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Index, Future[npt.NDArray[Any]]] = OrderedDict()
        self._n_unread: dict[_Index, int] = {}
        self._ahead = threading.local()

    @staticmethod
    def is_needed(pixels: Any) -> bool:
        """Tell whether an array is one of dask with uneven chunks, of known sizes."""
        if type(pixels).__module__.partition(".")[0] != "dask":
            return False
        chunks = getattr(pixels, "chunks", ())
        return (
            all(size == size and size > 0 for sizes in chunks for size in sizes)
            and any(
                len(set(sizes[:-1])) > 1 or sizes[-1] > sizes[0] for sizes in chunks
            )
            and np.dtype(pixels.dtype).kind in "biuf"
        )

    def read(self, key: _Key) -> npt.NDArray[Any]:
        """Return the pixels of a box: slices with start and stop."""
        box = [(one.start, one.stop) for one in key]
        touched = list(product(*map(self._touched, self._edges, box)))
        n_pixels = sum(math.prod(self._shape(index)) for index in touched)
        if n_pixels * self._pixels.dtype.itemsize > self._most_bytes:
            return self._read_ahead(box)
        chunks = self._chunks(touched)
        if not all(
            chunk.shape == self._shape(index) and chunk.dtype == chunks[0].dtype
            for index, chunk in zip(touched, chunks, strict=True)
        ):
            # not as announced: whoever asked looks at what comes
            return np.asarray(self._pixels[key])
        found = np.empty([stop - start for start, stop in box], chunks[0].dtype)
        for index, chunk in zip(touched, chunks, strict=True):
            inside, outside = [], []
            for (start, stop), (low, high) in zip(
                box, self._bounds(index), strict=True
            ):
                first, last = max(start, low), min(stop, high)
                inside.append(slice(first - low, last - low))
                outside.append(slice(first - start, last - start))
            part = chunk[tuple(inside)]
            found[tuple(outside)] = part
            self._count(index, part.size)
        return found

    def _read_ahead(self, box: _Box) -> npt.NDArray[Any]:
        """Return a box, from what this thread has read ahead if it is in there."""
        had: tuple[_Box, npt.NDArray[Any]] | None = getattr(self._ahead, "part", None)
        if had is None or not _contains(had[0], box):
            self._ahead.part = None
            longer = self._extended(box)
            pixels = np.asarray(self._pixels[tuple(slice(*one) for one in longer)])
            is_odd = pixels.shape != tuple(stop - start for start, stop in longer)
            if is_odd or longer == box:
                return pixels
            had = self._ahead.part = (longer, pixels)
        pairs = zip(box, had[0], strict=True)
        inside = tuple(slice(a - low, b - low) for (a, b), (low, _) in pairs)
        return had[1][inside].copy()

    def _extended(self, box: _Box) -> _Box:
        """Return a box, longer along one axis: the first one where its chunks go on."""
        longer = list(box)
        nbytes = math.prod(b - a for a, b in box) * self._pixels.dtype.itemsize
        for axis, (start, stop) in enumerate(box):
            edges = self._edges[axis]
            end = edges[self._touched(edges, (start, stop))[-1] + 1]
            if end > stop:
                n_fitting = _AHEAD_BYTES * (stop - start) // nbytes
                longer[axis] = (start, max(stop, min(end, start + n_fitting)))
                break
        return longer

    def _touched(self, edges: list[int], span: tuple[int, int]) -> range:
        """Return which chunks along an axis a range of pixels touches."""
        first = int(np.searchsorted(edges, span[0], "right")) - 1
        return range(first, int(np.searchsorted(edges, span[1], "left")))

    def _bounds(self, index: _Index) -> list[tuple[int, int]]:
        return [
            (edges[i], edges[i + 1])
            for edges, i in zip(self._edges, index, strict=True)
        ]

    def _shape(self, index: _Index) -> tuple[int, ...]:
        return tuple(stop - start for start, stop in self._bounds(index))

    def _chunks(self, touched: list[_Index]) -> list[npt.NDArray[Any]]:
        """Return chunks, those that are missing computed together."""
        with self._lock:
            missing = [index for index in touched if index not in self._kept]
            for index in missing:
                self._kept[index] = Future()
                self._n_unread.setdefault(index, math.prod(self._shape(index)))
            wanted = [self._kept[index] for index in touched]
        if missing:
            self._compute(missing, dict(zip(touched, wanted, strict=True)))
        return [future.result() for future in wanted]

    def _compute(
        self, missing: list[_Index], wanted: dict[_Index, Future[npt.NDArray[Any]]]
    ) -> None:
        # says little about its types
        dask: Any = importlib.import_module("dask")
        parts = [
            self._pixels[tuple(slice(*bounds) for bounds in self._bounds(index))]
            for index in missing
        ]
        try:
            computed = dask.compute(*parts)
        except BaseException as err:
            with self._lock:
                for index in missing:
                    self._kept.pop(index, None)
            for index in missing:
                wanted[index].set_exception(err)
            raise
        for index, pixels in zip(missing, computed, strict=True):
            wanted[index].set_result(np.asarray(pixels))

    def _count(self, index: _Index, n_pixels: int) -> None:
        """Note what was read of a chunk; let go of what is not needed any more."""
        with self._lock:
            self._n_unread[index] = self._n_unread.get(index, 0) - n_pixels
            if self._n_unread[index] <= 0:
                del self._n_unread[index]
                self._kept.pop(index, None)
            else:
                with contextlib.suppress(KeyError):
                    self._kept.move_to_end(index)
            self._shrink()

    def _shrink(self) -> None:
        """Let go of the chunks that were used longest ago, as far as is needed."""
        sizes = {
            index: future.result().nbytes
            for index, future in self._kept.items()
            if future.done() and future.exception() is None
        }
        total = sum(sizes.values())
        for index, nbytes in sizes.items():
            if total <= self._most_bytes:
                break
            del self._kept[index]
            total -= nbytes


def _contains(outer: _Box, inner: _Box) -> bool:
    return all(
        low <= start and stop <= high
        for (low, high), (start, stop) in zip(outer, inner, strict=True)
    )
