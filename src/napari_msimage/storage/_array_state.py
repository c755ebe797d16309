"""What an open array holds: TileDB handles, schema and metadata of one session."""

from __future__ import annotations

import math
import os
import threading
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import tiledb

from ..errors import ArgumentError, DoesNotExistError, UnsupportedError
from ._array_schema import read_schema, resize_array
from ._box_read import read_box
from ._context import is_local, storage_errors
from ._datatypes import is_timestamp
from ._group import read_entries
from ._header_check import check_headers
from ._metadata import Metadata, check_object
from ._probe import kind_of
from ._soma_coords import box_to_slices
from ._soma_object import Session
from ._soma_types import ARRAY_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from ._array_schema import ArraySchema
    from ._clock import WriteClock
    from ._context import SOMATileDBContext
    from ._soma_object import OpenMode

_MAX_READ_BYTES: Final = 2**36


def _readable_bytes() -> int:
    """Return how much one read may take: 64 GiB, or the machine's memory if less."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not told on this system
        return _MAX_READ_BYTES
    return min(memory, _MAX_READ_BYTES)


class ArrayState(Session):
    """One array in one session.

    Parameters
    ----------
    uri : str
        Address as the user gave it, for messages.
    address : str
        Normalized address.
    mode : {"r", "w", "d"}
        Read, write or delete.
    context : SOMATileDBContext
        TileDB configuration.
    clock : WriteClock
        Timestamps of the session.

    Raises
    ------
    DoesNotExistError
        If no array is there.
    FormatError
        If it is not a SOMA dense array.
    """

    def __init__(
        self,
        uri: str,
        address: str,
        mode: OpenMode,
        context: SOMATileDBContext,
        clock: WriteClock,
    ) -> None:
        self.uri = uri
        self.address = address
        self.mode = mode
        self.context = context
        self.clock = clock
        self.timestamp_ms = clock.base_ms
        self.ctx = context.tiledb_ctx(address)
        self._lock = threading.Lock()
        self._writer: tuple[int, Any] | None = None
        read_ms = self.timestamp_ms if mode == "r" else clock.present_ms
        self._handle, metadata, self.schema = _open_for_reading(
            address, self.ctx, read_ms
        )
        if mode != "r":
            self._handle.close()
        self.metadata = Metadata(metadata, self.guard_metadata, uri)
        self.closed = False

    def close(self) -> None:
        """Write pending metadata and release the handles."""
        if self.closed:
            return
        self.flush()
        if self.mode == "r":
            self._handle.close()
        else:
            self.clock.settle()
        self.closed = True

    def flush(self) -> None:
        """Finish pixel writes and write changed metadata."""
        with self._lock:
            writer, self._writer = self._writer, None
        with storage_errors("finish writing the array", self.address):
            if writer is not None:
                writer[1].close()
        changed, dropped = self.metadata.changes()
        if self.mode != "w" or not (changed or dropped):
            return
        stamp = self.clock.for_names(self.address, [*changed, *dropped])
        with (
            storage_errors("write metadata of the array", self.address),
            tiledb.open(self.address, "w", timestamp=stamp, ctx=self.ctx) as array,
        ):
            for key, value in changed.items():
                array.meta[key] = value
            for key in dropped:
                del array.meta[key]
        self.metadata.written()

    def read_box(self, start: Sequence[int], stop: Sequence[int]) -> npt.NDArray[Any]:
        """Read the cells ``[start, stop)``, data axis order.

        Raises
        ------
        ArgumentError
            If they would take more than 64 GiB, or than the machine has.
        UnsupportedError
            If they are timestamps.
        """
        self.verify_numeric()
        shape = [b - a for a, b in zip(start, stop, strict=True)]
        nbytes = math.prod(shape) * self.schema.dtype.itemsize
        if nbytes > (limit := _readable_bytes()):
            msg = (
                f"Reading {tuple(start)} to {tuple(stop)} of {self.uri!r} would take "
                f"{nbytes / 2**30:.0f} GiB; at most {limit / 2**30:.0f} GiB are read "
                "at once here. Read a smaller part or a coarser level."
            )
            raise ArgumentError(msg)
        with storage_errors("read the array", self.address):
            cells = np.empty(shape, self.schema.dtype)
        read_box(self._handle, self.ctx, self.address, start, stop, cells)
        return cells

    def write_box(
        self, start: Sequence[int], stop: Sequence[int], cells: npt.NDArray[Any]
    ) -> None:
        """Write the cells ``[start, stop)``, data axis order, C-contiguous."""
        stamp = self.clock.for_box(self.address, start, stop)
        with storage_errors("write to the array", self.address):
            self._writer_at(stamp)[box_to_slices(start, stop)] = cells

    def _writer_at(self, stamp: int) -> Any:
        """Return a handle that writes with this timestamp; the last one is kept."""
        with self._lock:
            if self._writer is not None and self._writer[0] == stamp:
                return self._writer[1]
            handle = tiledb.open(self.address, "w", timestamp=stamp, ctx=self.ctx)
            self._writer = (stamp, handle)
            return handle

    def non_empty_domain(self) -> tuple[tuple[int, int], ...]:
        """Return per dimension the first and last cell ever written."""
        with storage_errors("look at the array", self.address):
            if self.mode == "r":
                domain = self._handle.nonempty_domain()
            else:
                with tiledb.open(
                    self.address,
                    "r",
                    timestamp=(0, self.clock.present_ms),
                    ctx=self.ctx,
                ) as array:
                    domain = array.nonempty_domain()
        if domain is None:  # nothing written; upstream answers with the first cell
            return ((0, 0),) * len(self.schema.shape)
        return tuple((int(a), int(b)) for a, b in domain)

    def resize(self, shape: Sequence[int]) -> None:
        """Grow the array."""
        resize_array(self.address, shape, self.ctx)
        with storage_errors("open the array", self.address):
            schema = tiledb.ArraySchema.load(self.address, self.ctx)
        self.schema = read_schema(schema, self.address)

    def verify_numeric(self) -> None:
        """Raise `UnsupportedError` if the cells are timestamps."""
        if is_timestamp(self.schema.dtype):
            msg = (
                f"The cells of {self.uri!r} are timestamps ({self.schema.dtype}), "
                "which can be neither read nor written as pixels"
            )
            raise UnsupportedError(msg)


def _open_for_reading(
    address: str, ctx: Any, timestamp_ms: int
) -> tuple[Any, Mapping[str, Any], ArraySchema]:
    """Return an open TileDB array, its metadata and schema, checked to be SOMA's."""
    kind = kind_of(address, ctx)
    if kind != "array":
        what = "Nothing" if kind == "missing" else f"Something else ({kind})"
        msg = f"{what} is stored at {address!r}; expected a SOMA dense array"
        raise DoesNotExistError(msg)
    with storage_errors("open the array", address):
        if is_local(address):
            check_headers(address)
        handle = tiledb.open(address, "r", timestamp=(0, timestamp_ms), ctx=ctx)
        try:
            metadata = read_entries(handle.meta)
            check_object(metadata, address, ARRAY_TYPE)
            schema = read_schema(handle.schema, address)
        except BaseException:
            handle.close()
            raise
    return handle, metadata, schema
