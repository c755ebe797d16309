"""The array of a level that is being made: planned, created, and checked at the end."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import tiledb

from ..errors import DoesNotExistError, StorageError
from ._array_schema import create_array, read_schema
from ._context import is_local, storage_errors
from ._probe import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from ._layout import Layout

#: Opening and reading get slow with many (RELIABILITY: 1.2 ms with 1, 29 with 100).
_MAX_FRAGMENTS: Final = 63

#: Half-open bounds per axis.
Bounds = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class StagedArray:
    """One array that is to become a level."""

    key: str
    """Level key."""
    uri: str
    """Where it is while it is being written."""
    shape: tuple[int, ...]
    """Shape in data axis order."""
    dtype: np.dtype[Any]
    """Pixel type."""
    layout: Layout
    """Tile extents and filters."""

    @property
    def nbytes(self) -> int:
        """Size of the pixels, uncompressed."""
        return math.prod(self.shape) * self.dtype.itemsize

    def create(self, ctx: Any, timestamp_ms: int) -> None:
        """Make the array, empty.

        Raises
        ------
        SOMAError
            If that fails; see `storage_errors`.
        """
        create_array(self.uri, self.shape, self.dtype, self.layout, ctx, timestamp_ms)

    def check(self, ctx: Any) -> None:
        """Check that the array is as planned, and that all its pixels are written.

        Locally, what workers that died have left in it is removed.

        Raises
        ------
        DoesNotExistError
            If it is gone.
        StorageError
            If it is another array, pixels are missing, or it is in too many pieces.
        """
        if kind_of(self.uri, ctx) != "array":
            msg = (
                f"The array of the new level {self.key!r} at {self.uri!r} is gone. "
                "Something else has removed it; make the level again."
            )
            raise DoesNotExistError(msg)
        with storage_errors("check the new level", self.uri):
            if is_local(self.uri):
                _remove_uncommitted(self.uri)
            schema = read_schema(tiledb.ArraySchema.load(self.uri, ctx), self.uri)
            fragments = tiledb.FragmentInfoList(self.uri, ctx=ctx)
            boxes = [_half_open(one.nonempty_domain) for one in fragments]
        found = (schema.shape, schema.dtype, schema.tile_extents)
        expected = (self.shape, self.dtype, self.layout.tile_extents)
        if found != expected:
            msg = (
                f"The array of the new level {self.key!r} at {self.uri!r} has shape, "
                f"type and tile extents {found}; expected {expected}. Something else "
                "has replaced it; make the level again."
            )
            raise StorageError(msg)
        self._check_pixels(boxes)

    def _check_pixels(self, boxes: list[Bounds]) -> None:
        if len(boxes) > _MAX_FRAGMENTS:
            msg = (
                f"The new level {self.key!r} at {self.uri!r} was written in "
                f"{len(boxes)} pieces; at most {_MAX_FRAGMENTS} can be read fast. "
                "Write it in larger blocks."
            )
            raise StorageError(msg)
        missing = _first_missing(self.shape, boxes)
        if missing is not None:
            start, stop = zip(*missing, strict=True)
            msg = (
                f"The new level {self.key!r} at {self.uri!r} is incomplete: the pixels "
                f"from {start} up to {stop}, data axis order, have not been written "
                f"(shape {self.shape}). Write them, then register the level again."
            )
            raise StorageError(msg)


def _half_open(domain: Iterable[tuple[Any, Any]]) -> Bounds:
    return tuple((int(first), int(last) + 1) for first, last in domain)


def _first_missing(shape: tuple[int, ...], boxes: Iterable[Bounds]) -> Bounds | None:
    """Return a part of an array that no box covers, if there is one."""
    left: list[Bounds] = [tuple((0, size) for size in shape)]
    for box in boxes:
        left = [piece for part in left for piece in _outside(part, box)]
    return left[0] if left else None


def _outside(part: Bounds, box: Bounds) -> list[Bounds]:
    """Cut what a box covers out of a part; return the pieces around it."""
    if any(
        stop <= low or high <= start
        for (start, stop), (low, high) in zip(part, box, strict=True)
    ):
        return [part]
    pieces = []
    for axis, ((start, stop), (low, high)) in enumerate(zip(part, box, strict=True)):
        for a, b in ((start, low), (high, stop)):
            if a < b:
                pieces.append((*part[:axis], (a, b), *part[axis + 1 :]))
        part = (*part[:axis], (max(start, low), min(stop, high)), *part[axis + 1 :])
    return pieces


def _remove_uncommitted(path: str) -> None:
    """Remove fragments without a commit file: TileDB ignores them for ever."""
    commits = os.listdir(os.path.join(path, "__commits"))
    if not all(name.endswith(".wrt") for name in commits):
        return  # consolidated: the names of some are inside files
    committed = {name.removesuffix(".wrt") for name in commits}
    fragments = os.path.join(path, "__fragments")
    for name in os.listdir(fragments):
        if name not in committed:
            shutil.rmtree(os.path.join(fragments, name))
