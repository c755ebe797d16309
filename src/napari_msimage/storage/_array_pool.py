"""Open read handles of level arrays, shared by all who see the same snapshot."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import itertools
import os
import re
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tiledb

from ..errors import FormatError
from ._array_schema import ATTRIBUTE
from ._box_read import read_box
from ._context import (
    check_context,
    check_uri,
    is_local,
    normalize_uri,
    now_ms,
    storage_errors,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from ._context import SOMATileDBContext

_FRAGMENT_TIMES = re.compile(r"^__(\d+)_(\d+)_")
_unique = itertools.count()


@dataclass(frozen=True, slots=True)
class ArrayFacts:
    """What the schema of a level says, as plain values; data axis order."""

    shape: tuple[int, ...]
    """Number of cells per dimension: the current domain, never the core domain."""
    dtype: np.dtype[Any]
    """Type of the cells."""
    tile_extents: tuple[int, ...]
    """Tile extents, which may exceed the shape."""


class PooledArray:
    """An open TileDB array that sees one snapshot; made and closed by the pool.

    Safe to read from several threads at once.
    """

    def __init__(self, uri: str, ctx: Any, timestamp_ms: int, snapshot: str) -> None:
        self.uri = uri
        #: Equal for two handles only if they see the same cells.
        self.snapshot = snapshot
        self.users = 0
        self._ctx = ctx
        self._pid = os.getpid()
        with storage_errors("open the level", uri):
            self._array = tiledb.open(uri, "r", ctx=ctx, timestamp=timestamp_ms)
        try:
            with storage_errors("read the schema of the level", uri):
                self.facts = _read_facts(self._array.schema, uri)
        except BaseException:
            self.close()
            raise

    @property
    def key(self) -> tuple[str, int, str]:
        """What two handles must share to be interchangeable."""
        return (self.uri, id(self._ctx), self.snapshot)

    def read_box(
        self, start: Sequence[int], stop: Sequence[int], out: npt.NDArray[Any]
    ) -> None:
        """Read a box of cells; the one place where pixels are read from TileDB.

        Parameters
        ----------
        start, stop : sequence of int, (n_dims,)
            Half-open bounds within the shape, data axis order; not empty.
        out : ndarray, shape ``stop - start``
            C-contiguous, of the array's dtype; filled in place. Cells that were never
            written get the fill value.

        Raises
        ------
        DoesNotExistError
            If the level was removed or moved since it was opened.
        StorageError
            If the store is damaged or does not answer, or memory runs out.
        """
        cells = out.view(_buffer_dtype(out.dtype))
        read_box(self._array, self._ctx, self.uri, start, stop, cells)

    def close(self) -> None:
        """Close the TileDB array; nothing may be reading."""
        # A forked child must not touch TileDB's threads and locks of its parent.
        if self._pid == os.getpid():
            with storage_errors("close the level", self.uri):
                self._array.close()


class ArrayLease:
    """A share in an open array: opened when needed, given back when dropped.

    Parameters
    ----------
    uri : str
        Address of the level's array.
    context : SOMATileDBContext, optional
        How to reach it.
    timestamp_ms : int, optional
        Show the array as it was then (milliseconds since 1970-01-01 UTC). None: as it
        is at the first use.
    """

    def __init__(
        self,
        uri: str,
        *,
        context: SOMATileDBContext | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        self.uri = normalize_uri(check_uri(uri))
        self.context = check_context(context)
        self.wanted_timestamp_ms = self.context.open_timestamp_ms(timestamp_ms)
        self.timestamp_ms = self.wanted_timestamp_ms
        self._held: list[PooledArray] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()
        weakref.finalize(self, _release_all, self._held)

    @contextlib.contextmanager
    def reading(self) -> Iterator[PooledArray]:
        """Lend the open array for the length of a ``with`` block.

        `release` by another thread meanwhile does not close it under the reader.
        """
        if self._pid != os.getpid():
            self._pid, self._held, self._lock = os.getpid(), [], threading.Lock()
            weakref.finalize(self, _release_all, self._held)
        with self._lock:
            if not self._held:
                end_ms = now_ms() if self.timestamp_ms is None else self.timestamp_ms
                ctx = self.context.tiledb_ctx(self.uri)
                self._held.append(_pool.acquire(self.uri, ctx, end_ms))
                self.timestamp_ms = end_ms
            array = _pool.share(self._held[0])
        try:
            yield array
        finally:
            _pool.release(array)

    def release(self) -> None:
        """Give the handle back; the next use opens the same snapshot again."""
        with self._lock:
            _release_all(self._held)

    def refresh(self) -> None:
        """Give the handle back and forget the snapshot: the next use sees the newest.

        A lease made for an explicit timestamp stays at that timestamp.
        """
        with self._lock:
            _release_all(self._held)
            self.timestamp_ms = self.wanted_timestamp_ms


class _ArrayPool:
    """The open arrays of this process, counted; the last user closes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrays: dict[tuple[str, int, str], PooledArray] = {}
        self._given_back: collections.deque[PooledArray] = collections.deque()

    def acquire(self, uri: str, ctx: Any, end_ms: int) -> PooledArray:
        """Return an open array that shows the state at a time; counts one user more."""
        snapshot = _snapshot_name(uri, end_ms)
        key = (uri, id(ctx), snapshot)
        with self._lock:
            found = self._arrays.get(key)
            if found:
                found.users += 1
        self._drain()
        if found:
            return found
        array = PooledArray(uri, ctx, end_ms, snapshot)
        # A commit between the listing and the opening: the name may not fit.
        if _snapshot_name(uri, end_ms) != snapshot:
            array.snapshot = _unique_name()
        with self._lock:
            found = self._arrays.setdefault(array.key, array)
            found.users += 1
        self._drain()
        if found is not array:
            array.close()
        return found

    def share(self, array: PooledArray) -> PooledArray:
        """Count one more user of an array that is in use."""
        with self._lock:
            array.users += 1
        self._drain()
        return array

    def release(self, array: PooledArray) -> None:
        """Count one user less; the last one closes the array.

        Runs in finalizers too, which may interrupt a thread that holds the lock:
        then that thread, or the next one, does the work.
        """
        self._given_back.append(array)
        self._drain()

    def open_handles(self) -> int:
        """Return how many arrays are open."""
        self._drain()
        with self._lock:
            return len(self._arrays)

    def _drain(self) -> None:
        while self._given_back and self._lock.acquire(blocking=False):
            unused = []
            try:
                while self._given_back:
                    array = self._given_back.popleft()
                    array.users -= 1
                    if not array.users:
                        unused.append(array)
                        del self._arrays[array.key]
            finally:
                self._lock.release()
            for array in unused:
                array.close()


_pool = _ArrayPool()


def open_handles() -> int:
    """Return how many level arrays this process holds open for reading."""
    return _pool.open_handles()


def _release_all(held: list[PooledArray]) -> None:
    while held:
        array = held.pop()
        if array._pid == os.getpid():
            _pool.release(array)


def _forget_inherited_handles() -> None:
    """Start afresh in a forked child, without destroying what TileDB made."""
    global _pool
    _inherited.append(_pool)
    _pool = _ArrayPool()


_inherited: list[_ArrayPool] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited_handles)


# Facts and snapshots ------------------------------------------------------------


def _read_facts(schema: Any, uri: str) -> ArrayFacts:
    """Return the facts of a level's schema, or say what is not as SOMA wants it."""
    if schema.sparse:
        raise _format_error(uri, "a sparse array", "a dense one")
    names = [schema.attr(i).name for i in range(schema.nattr)]
    if names != [ATTRIBUTE]:
        raise _format_error(uri, f"attributes {names!r}", f"only {ATTRIBUTE!r}")
    attribute = schema.attr(0)
    dtype = np.dtype(attribute.dtype)
    if attribute.isvar or attribute.isnullable or dtype.kind not in "iufM":
        kind = f"cells of type {dtype} (nullable: {attribute.isnullable})"
        raise _format_error(uri, kind, "plain numbers")
    domain = schema.domain
    dims = [domain.dim(i) for i in range(domain.ndim)]
    for dim in dims:
        if dim.dtype != np.int64:
            got = f"dimension {dim.name!r} of type {dim.dtype}"
            raise _format_error(uri, got, "int64 dimensions")
    return ArrayFacts(
        shape=_current_shape(schema, len(dims), uri),
        dtype=dtype,
        tile_extents=tuple(int(dim.tile) for dim in dims),
    )


def _current_shape(schema: Any, n_dims: int, uri: str) -> tuple[int, ...]:
    current = schema.current_domain
    if current.is_empty:
        raise _format_error(uri, "no current domain", "one that gives the shape")
    bounds = [current.ndrectangle.range(i) for i in range(n_dims)]
    if any(int(low) != 0 for low, _ in bounds):
        got = f"a current domain {[(int(a), int(b)) for a, b in bounds]!r}"
        raise _format_error(uri, got, "one that starts at 0")
    return tuple(int(high) + 1 for _, high in bounds)


def _format_error(uri: str, got: str, expected: str) -> FormatError:
    msg = (
        f"The array at {uri!r} cannot be a level of a SOMA image: it has {got}, "
        f"expected {expected}."
    )
    return FormatError(msg)


def _buffer_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.int64) if dtype.kind == "M" else dtype


def _unique_name() -> str:
    return f"unique-{os.getpid()}-{next(_unique)}"


def _snapshot_name(uri: str, end_ms: int) -> str:
    """Name the state of an array at a time, from the names of its commits.

    Commits carry random names, so equal listings mean equal cells: openings that see
    the same share one handle and one set of decoded tiles. Where listing costs a round
    trip (remote stores), every opening is a state of its own.
    """
    if not is_local(uri):
        return _unique_name()
    names = []
    for folder in ("", "__schema", "__commits"):
        try:
            found = os.listdir(os.path.join(uri, folder))
        except OSError:
            return _unique_name()
        for name in found:
            times = _FRAGMENT_TIMES.match(name)
            if folder != "__schema" and times and int(times[2]) > end_ms:
                continue
            names.append(f"{folder}/{name}")
    return hashlib.blake2b(
        "\n".join(sorted(names)).encode(), digest_size=16
    ).hexdigest()
