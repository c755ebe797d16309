"""Pixels that are given as array-likes: lazy ones are read box by box."""

from __future__ import annotations

import contextlib
import math
import threading
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import numpy as np

from ..errors import ArgumentError, SOMAError, StorageError
from ..storage import LevelArray
from ._pixel_source_chunks import KEPT_BYTES, UnevenChunks
from ._windows import window_shape, window_slices

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ._level_shapes import Shape
    from ._windows import Window

#: Array-likes that several threads may read at a time; others are asked one by one.
_THREAD_SAFE: Final = ("numpy", "dask", "zarr", "napari_msimage")
#: What numpy raises for objects that are no numbers.
_NO_NUMBER: Final = (TypeError, ValueError, OverflowError)


class PixelSource(Protocol):
    """What a level to be written must offer: numpy, dask, zarr and our own do."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each axis, data axis order."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type."""
        ...

    def __getitem__(self, key: tuple[slice, ...], /) -> Any:
        """Return the pixels of a box as something ``np.asarray`` understands."""
        ...


class BoxReader:
    """Reads boxes of an array-like, from any thread, whatever the array-like allows.

    Parameters
    ----------
    pixels : PixelSource
        Where pixels come from.
    n_sharing : int
        How many readers share the memory for computed chunks.
    """

    def __init__(self, pixels: PixelSource, n_sharing: int = 1) -> None:
        self.pixels = pixels
        room = type(pixels).__module__.partition(".")[0]
        self._lock = None if room in _THREAD_SAFE else threading.Lock()
        self._chunks = (
            UnevenChunks(pixels, KEPT_BYTES // n_sharing)
            if UnevenChunks.is_needed(pixels)
            else None
        )

    def read(self, key: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Return the pixels of a box: slices with start and stop."""
        if self._chunks is not None:
            return self._chunks.read(key)
        if self._lock is None:
            return self._read(key)
        with self._lock:
            return self._read(key)

    def _read(self, key: tuple[slice, ...]) -> npt.NDArray[Any]:
        part = self.pixels[key]
        if isinstance(part, LevelArray):
            # Passing over it once must not push out what is on the screen.
            return part.read(cached=False)
        return np.asarray(part)


class GivenLevel:
    """A level to be written, read as the jobs of a pass read stored ones.

    Parameters
    ----------
    name : str
        What it is called in messages.
    pixels : PixelSource
        Where its pixels come from.
    dtype : numpy.dtype
        Type that they are given in.
    """

    def __init__(self, name: str, pixels: PixelSource, dtype: np.dtype[Any]) -> None:
        self.name = name
        self.pixels = pixels
        self.dtype = dtype
        self.shape = tuple(int(n) for n in pixels.shape)
        self._reader = BoxReader(pixels)

    def read(
        self, window: Window, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """Return the pixels of a window; in the memory of `out` where they are copied.

        Raises
        ------
        ArgumentError
            If the source gives another shape than it should, or values that its type
            cannot hold.
        StorageError
            If the source fails.
        """
        try:
            found = self._reader.read(window_slices(window))
        except (SOMAError, MemoryError):
            raise
        except Exception as err:
            msg = (
                f"The pixels {_in_words(window)} of {self.name} could not be read from "
                f"their source ({type(self.pixels).__name__}): "
                f"{type(err).__name__}: {err}"
            )
            raise StorageError(msg) from err
        if found.shape != window_shape(window):
            msg = (
                f"{self.name} gave pixels of shape {found.shape} for the box "
                f"{_in_words(window)}; expected {window_shape(window)}. Is its shape "
                f"{self.shape} right?"
            )
            raise ArgumentError(msg)
        return found if found.dtype == self.dtype else self._converted(found, window)

    def _converted(self, found: npt.NDArray[Any], window: Window) -> npt.NDArray[Any]:
        """Return pixels in the type that was announced, if that changes no value."""
        if found.dtype.kind == "f" == self.dtype.kind or np.can_cast(
            found.dtype, self.dtype
        ):
            return found.astype(self.dtype)
        if found.dtype.kind in "biufO":
            with np.errstate(invalid="ignore"), contextlib.suppress(*_NO_NUMBER):
                converted: npt.NDArray[Any] = found.astype(self.dtype)
                if np.array_equal(converted, found):
                    return converted
        msg = (
            f"{self.name} gave pixels of type {found.dtype} for the box "
            f"{_in_words(window)}, which do not fit into {self.dtype}, the type it "
            "claims to have. Convert it first, with astype."
        )
        raise ArgumentError(msg)

    def close(self) -> None:
        """Do nothing: the source belongs to the caller."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def chunks_of(pixels: PixelSource) -> Shape | None:
    """Return the sizes in which a source is read best; None if it does not say.

    ``chunks`` of dask are all sizes along each axis, those of zarr one per axis.
    """
    chunks = getattr(pixels, "chunks", None)
    shape = tuple(int(n) for n in pixels.shape)
    try:
        sizes = [
            int(one) if isinstance(one, int | np.integer) else max(map(int, one))
            for one in chunks or ()
        ]
    except (TypeError, ValueError):
        return None
    if len(sizes) != len(shape) or not all(n > 0 for n in sizes):
        return None
    return tuple(min(n, size) for n, size in zip(sizes, shape, strict=True))


def _in_words(window: Sequence[tuple[int, int]]) -> str:
    return "[" + ", ".join(f"{a}:{b}" for a, b in window) + "]"


def n_bytes(shape: Sequence[int], dtype: np.dtype[Any]) -> int:
    """Return the bytes of an array."""
    return math.prod(shape) * dtype.itemsize
