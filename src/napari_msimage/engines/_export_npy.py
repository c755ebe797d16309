"""Export as NPY: numpy's own format, which can be mapped into memory."""

from __future__ import annotations

import math
import os
import queue
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ._export_blocks import blocks
from ._export_files import reserve
from ._export_threads import N_THREADS, in_order
from ._windows import window_shape

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._export_threads import Ticker
    from ._export_writers import ExportPixels
    from ._level_shapes import Shape
    from ._windows import Window

#: Bytes that are read at a time.
_BLOCK_BYTES: Final = 12 * 2**20
#: Blocks that wait to be written.
_N_AHEAD: Final = 1


def write_npy(pixels: ExportPixels, path: str, tick: Ticker) -> None:
    """Write pixels to a file of numpy's format, version 1.0 or what they need.

    Parameters
    ----------
    pixels : ExportPixels
        What to write.
    path : str
        Where; emptied first.
    tick : Ticker
        Gets the bytes written.

    Raises
    ------
    OSError
        If the disk is too small, before a pixel is read where the system can tell.
    """
    header = {
        "descr": np.lib.format.dtype_to_descr(pixels.dtype),
        "fortran_order": False,
        "shape": pixels.shape,
    }
    itemsize = pixels.dtype.itemsize
    # New memory for each block would cost more than writing it.
    memory: queue.SimpleQueue[npt.NDArray[np.uint8]] = queue.SimpleQueue()
    for _ in range(N_THREADS + _N_AHEAD):
        memory.put(np.empty(0, np.uint8))

    def read(window: Window) -> tuple[Window, Any, npt.NDArray[np.uint8]]:
        tick()
        shape, held = window_shape(window), memory.get()
        needed = math.prod(shape) * itemsize
        if held.size < needed:
            held = np.empty(needed, np.uint8)
        out = held[:needed].view(pixels.dtype).reshape(shape)
        return window, pixels.read(window, out), held

    with open(path, "wb", buffering=0) as file:
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        reserve(file.fileno(), start + math.prod(pixels.shape) * itemsize)
        target = _Target(file.fileno(), start, pixels.shape, itemsize)
        windows = blocks(pixels, _BLOCK_BYTES)
        # One thread writes: several would wait for each other at the file.
        for window, block, held in in_order(windows, read, n_ahead=_N_AHEAD):
            target.write(window, np.ascontiguousarray(block), tick)
            tick(block.nbytes)
            memory.put(held)


class _Target:
    """The pixels of an array in a file, C order."""

    def __init__(self, handle: int, start: int, shape: Shape, itemsize: int) -> None:
        self._handle = handle
        self._start = start
        self._shape = shape
        self._itemsize = itemsize

    def write(self, window: Window, block: Any, tick: Ticker) -> None:
        """Write a block, in the longest pieces that lie together in the file."""
        axis = len(self._shape) - 1
        while axis > 0 and block.shape[axis] == self._shape[axis]:
            axis -= 1
        strides = [
            math.prod(self._shape[i + 1 :]) * self._itemsize
            for i in range(len(self._shape))
        ]
        first = self._start + sum(
            bounds[0] * stride for bounds, stride in zip(window, strides, strict=True)
        )
        outer = block.shape[:axis]
        pieces = block.reshape(math.prod(outer), -1).view(np.uint8)
        for number, index in enumerate(np.ndindex(outer)):
            offset = sum(i * stride for i, stride in zip(index, strides, strict=False))
            self._write_at(memoryview(pieces[number]), first + offset)
            if number % 1024 == 1023:
                tick()

    def _write_at(self, data: memoryview, offset: int) -> None:
        done = 0
        while done < len(data):
            if hasattr(os, "pwrite"):
                n_bytes = os.pwrite(self._handle, data[done:], offset + done)
            else:
                os.lseek(self._handle, offset + done, os.SEEK_SET)
                n_bytes = os.write(self._handle, data[done:])
            done += n_bytes
