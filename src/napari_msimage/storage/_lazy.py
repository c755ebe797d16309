"""LevelArray: array-like view of a level; indexing composes, np.asarray reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, SupportsIndex

import numpy as np

from ..errors import ArgumentError, StorageError
from ._array_pool import ArrayLease
from ._selection import Selection
from ._tile_cache import TileCache, tile_cache
from ._tile_reads import read_selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ._array_pool import ArrayFacts
    from ._context import SOMATileDBContext


class LevelArray:
    """The pixels of one level, as an array that reads when it is converted.

    Indexing and transposing compose to another `LevelArray` and read nothing;
    ``np.asarray(array[...])`` reads the cells asked for. All views of one array see
    the same snapshot of the level, whatever is written meanwhile, until `refresh`.
    Safe to share by threads; pickled as an address, never with pixels or a handle.

    Parameters
    ----------
    uri : str
        Address of the level's array.
    context : SOMATileDBContext, optional
        How to reach it.
    timestamp_ms : int, optional
        Show the level as it was then (milliseconds since 1970-01-01 UTC). None: now.
    cache : TileCache, optional
        Where decoded tiles are kept; by default the one that all levels share.

    Raises
    ------
    DoesNotExistError
        If there is no array at `uri`.
    FormatError
        If the array cannot be a level: sparse, other attributes, dimensions that are
        not int64, or a current domain that is missing or does not start at 0.
    StorageError
        If the store is damaged or does not answer.

    Examples
    --------
    >>> import tempfile, numpy as np, napari_msimage
    >>> from napari_msimage.storage import DenseNDArray, LevelArray
    >>> uri = tempfile.mkdtemp() + "/level"
    >>> with DenseNDArray.create(uri, type="uint8", shape=(3, 97, 130)) as array:
    ...     _ = array.write((slice(None),) * 3, np.full((3, 97, 130), 7, "uint8"))
    >>> level = LevelArray(uri)
    >>> level[1, ::-2, 10:20].shape
    (49, 10)
    >>> np.asarray(level[0, :2, :3]).tolist()
    [[7, 7, 7], [7, 7, 7]]
    """

    __slots__ = (
        "__weakref__",
        "_cache",
        "_chunks",
        "_facts",
        "_lease",
        "_selection",
    )

    def __init__(
        self,
        uri: str,
        *,
        context: SOMATileDBContext | None = None,
        timestamp_ms: int | None = None,
        cache: TileCache | None = None,
    ) -> None:
        lease = ArrayLease(uri, context=context, timestamp_ms=timestamp_ms)
        with lease.reading() as array:
            facts = array.facts
        self._set(lease, facts, Selection.whole(facts.shape), cache)

    def _set(
        self,
        lease: ArrayLease,
        facts: ArrayFacts,
        selection: Selection,
        cache: TileCache | None,
    ) -> None:
        self._lease = lease
        self._facts = facts
        self._selection = selection
        self._cache = cache
        self._chunks: tuple[tuple[int, ...], ...] | None = None

    def _view(self, selection: Selection) -> LevelArray:
        view = LevelArray.__new__(LevelArray)
        view._set(self._lease, self._facts, selection, self._cache)
        return view

    # What napari asks of layer data

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of cells along each axis of this view."""
        return self._selection.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the cells."""
        return self._facts.dtype

    @property
    def ndim(self) -> int:
        """Number of axes of this view."""
        return len(self._selection.axes)

    @property
    def size(self) -> int:
        """Number of cells of this view."""
        return self._selection.size

    @property
    def nbytes(self) -> int:
        """Bytes that reading this view takes."""
        return self.size * self.dtype.itemsize

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """Cells of each stored tile along each axis of this view, in dask's form."""
        if self._chunks is None:
            self._chunks = self._selection.chunks(self._facts.tile_extents)
        return self._chunks

    def __getitem__(self, key: object) -> LevelArray:
        """Return a view; reads nothing.

        Parameters
        ----------
        key : int, slice, Ellipsis, None or tuple of these
            As in numpy; arrays of indices and masks are refused.

        Raises
        ------
        LevelIndexError
            If an integer is out of bounds or there are too many indices.
        ArgumentTypeError
            If an index is of another kind.
        """
        return self._view(self._selection.index(key))

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """Read the cells of this view; see `read`."""
        if copy is False:
            msg = (
                "A level cannot be viewed without reading a copy of its cells; got "
                "copy=False, expected None or True."
            )
            raise ArgumentError(msg)
        cells = self.read()
        return cells if dtype is None else cells.astype(dtype, copy=False)

    def read(
        self, *, cached: bool = True, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """Read the cells of this view.

        Parameters
        ----------
        cached : bool
            Use decoded tiles of the cache and keep new ones there. False for passing
            once over much data, which would push out what is on the screen.
        out : ndarray, optional
            Where the cells go, C-contiguous, of this view's shape and type: passing
            over much data, it saves time to use the same memory again.

        Returns
        -------
        ndarray
            `out`, or the caller's own, writeable and C-contiguous, also where the view
            is transposed. Cells never written have the fill value.

        Raises
        ------
        ArgumentError
            If the view is larger than 8 GiB, or `out` does not fit.
        DoesNotExistError
            If the level was removed or moved.
        StorageError
            If the store is damaged or does not answer.
        """
        cache = (self._cache or tile_cache()) if cached else _NO_CACHE
        with self._lease.reading() as array:
            if array.facts != self._facts:
                raise _changed(self.uri, self._facts, array.facts)
            return read_selection(array, self._selection, cache, out)

    # Like numpy

    def transpose(self, *axes: int | Sequence[int] | None) -> LevelArray:
        """Return a view with its axes in another order; reads nothing.

        Parameters
        ----------
        *axes : int, or one sequence of int, optional
            The order; none: reversed.

        Raises
        ------
        ArgumentError
            If it is not a permutation of the axes.
        ArgumentTypeError
            If an axis is not an integer.
        """
        order: Any = axes or None
        if len(axes) == 1 and not isinstance(axes[0], SupportsIndex):
            order = axes[0]
        elif len(axes) == 1 and isinstance(axes[0], np.ndarray):
            order = axes[0].tolist()
        return self._view(self._selection.transpose(order))

    @property
    def T(self) -> LevelArray:
        """The view with its axes reversed."""
        return self.transpose()

    def __len__(self) -> int:
        if not self.ndim:
            msg = "len() of an array without axes"
            raise TypeError(msg)
        return self.shape[0]

    # The handle

    @property
    def uri(self) -> str:
        """Address of the level's array."""
        return self._lease.uri

    @property
    def timestamp_ms(self) -> int | None:
        """Time of the snapshot shown, in milliseconds; None until the next read."""
        return self._lease.timestamp_ms

    def close(self) -> None:
        """Close the handle that this array shares with its views.

        Reads that are running finish first; the next one opens the handle again at
        the same snapshot.
        """
        self._lease.release()

    def refresh(self) -> None:
        """Show the newest snapshot from now on, here and in all views of this array.

        An array made with a `timestamp_ms` stays there.
        """
        self._lease.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        lease = self._lease
        address = (lease.uri, lease.context, lease.wanted_timestamp_ms)
        return _remake, (address, lease.timestamp_ms, self._facts, self._selection)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(shape={self.shape!r}, dtype={self.dtype}, "
            f"uri={self.uri!r})"
        )


def _remake(
    address: tuple[str, SOMATileDBContext, int | None],
    timestamp_ms: int | None,
    facts: ArrayFacts,
    selection: Selection,
) -> LevelArray:
    """Make the view that was pickled, at the snapshot that it showed."""
    uri, context, wanted_timestamp_ms = address
    lease = ArrayLease(uri, context=context, timestamp_ms=wanted_timestamp_ms)
    lease.timestamp_ms = timestamp_ms
    view = LevelArray.__new__(LevelArray)
    view._set(lease, facts, selection, None)
    return view


def _changed(uri: str, was: ArrayFacts, now: ArrayFacts) -> StorageError:
    msg = (
        f"The level at {uri!r} was replaced: it had shape {was.shape!r} of {was.dtype} "
        f"in tiles of {was.tile_extents!r}, now it has shape {now.shape!r} of "
        f"{now.dtype} in tiles of {now.tile_extents!r}. Open it again."
    )
    return StorageError(msg)


_NO_CACHE = TileCache(0)
