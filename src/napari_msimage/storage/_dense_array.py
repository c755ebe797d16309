"""DenseNDArray: schema, read and write of one level."""

from __future__ import annotations

import contextlib
import datetime
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import numpy as np
import numpy.typing as npt
import tiledb

from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    DoesNotExistError,
    ModeError,
    SOMAError,
    UnsupportedError,
)
from ._array_schema import (
    ATTRIBUTE,
    ArraySchema,
    check_resize,
    create_array,
    read_schema,
    resize_array,
)
from ._clock import WriteClock
from ._context import (
    OpenTimestamp,
    SOMATileDBContext,
    check_context,
    check_uri,
    is_local,
    ms_to_datetime,
    normalize_uri,
    now_ms,
    storage_errors,
)
from ._datatypes import is_timestamp, to_dtype
from ._header_check import check_headers
from ._layout import plan_layout
from ._metadata import ARRAY_TYPE, Metadata, check_object, check_shape
from ._probe import kind_of
from ._soma_coords import box_to_slices, coords_to_box

if TYPE_CHECKING:
    from collections.abc import Mapping

OpenMode = Literal["r", "w", "d"]
_MAX_READ_BYTES = 2**36


def check_mode(mode: Any) -> OpenMode:
    """Return the mode of an ``open``.

    Raises
    ------
    ArgumentError
        If it is not ``"r"``, ``"w"`` or ``"d"``.
    """
    if mode not in ("r", "w", "d"):
        msg = f"mode must be 'r' (read), 'w' (write) or 'd' (delete), got {mode!r}"
        raise ArgumentError(msg)
    return cast("OpenMode", mode)


def check_result_order(result_order: Any) -> bool:
    """Tell whether results are wanted in column-major order.

    Raises
    ------
    ArgumentError
        If it is neither ``"row-major"`` nor ``"column-major"``.
    """
    value = getattr(result_order, "value", result_order)
    if value not in ("row-major", "column-major"):
        msg = f"result_order must be 'row-major' or 'column-major', got {value!r}"
        raise ArgumentError(msg)
    return bool(value == "column-major")


class DenseNDArray:
    """A dense n-dimensional SOMA array, such as one level of an image.

    Open one with `open`, `create`, or by indexing a `MultiscaleImage`. Behaves like
    ``tiledbsoma.DenseNDArray``, except that results are numpy arrays.
    """

    _schema: ArraySchema
    _metadata: Metadata

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        msg = (
            "DenseNDArray is not made directly; use DenseNDArray.open(uri) or "
            "DenseNDArray.create(uri, type=..., shape=...)"
        )
        raise TypeError(msg)

    # Lifecycle

    @classmethod
    def create(
        cls,
        uri: str,
        *,
        type: Any,
        shape: Sequence[int],
        platform_config: Any = None,
        context: SOMATileDBContext | None = None,
        tiledb_timestamp: OpenTimestamp | None = None,
    ) -> Self:
        """Make an array and return it open for writing.

        Parameters
        ----------
        uri : str
            Where; parent folders are made.
        type : numpy dtype, Arrow type or Arrow format string
            Type of the cells.
        shape : sequence of int
            Sizes, 1 to 2**31 each.
        platform_config : optional
            Overrides tile extents and filters, as for tiledbsoma.
        context : SOMATileDBContext, optional
            TileDB configuration.
        tiledb_timestamp : int or datetime.datetime, optional
            Timestamp of all writes, ms since 1970-01-01 UTC; now by default.

        Raises
        ------
        ArgumentTypeError, ArgumentError
            If an argument makes no sense; nothing is written.
        AlreadyExistsError
            If something is stored at the URI.
        """
        address = normalize_uri(check_uri(uri))
        context = check_context(context)
        dtype = to_dtype(type)
        sizes = check_shape(shape, "shape")
        if not 1 <= len(sizes) <= 5:
            msg = f"shape must have 1 to 5 sizes, got {sizes}"
            raise ArgumentError(msg)
        layout = plan_layout(sizes, dtype, None, platform_config)
        clock = WriteClock(context.open_timestamp_ms(tiledb_timestamp))
        ctx = context.tiledb_ctx(address)
        create_array(address, sizes, dtype, layout, ctx, clock.base_ms)
        return cls._open(uri, address, "w", context, clock)

    @classmethod
    def open(
        cls,
        uri: str,
        mode: OpenMode = "r",
        *,
        tiledb_timestamp: OpenTimestamp | None = None,
        context: SOMATileDBContext | None = None,
        platform_config: Any = None,
    ) -> Self:
        """Open an array; no cells are read.

        Parameters
        ----------
        uri : str
            Where.
        mode : {"r", "w", "d"}
            Read, write or delete.
        tiledb_timestamp : int or datetime.datetime, optional
            Show the state of that time, or write with it.
        context : SOMATileDBContext, optional
            TileDB configuration.

        Raises
        ------
        DoesNotExistError
            If no array is there.
        FormatError
            If it is not a SOMA dense array.
        """
        check_mode(mode)
        address = normalize_uri(check_uri(uri))
        context = check_context(context)
        clock = WriteClock(context.open_timestamp_ms(tiledb_timestamp))
        return cls._open(uri, address, mode, context, clock)

    @classmethod
    def _open(
        cls,
        uri: str,
        address: str,
        mode: OpenMode,
        context: SOMATileDBContext,
        clock: WriteClock,
        parent: object = None,
    ) -> Self:
        """Open at a normalized address, sharing the clock of a write session."""
        self = object.__new__(cls)
        self._uri = uri
        self._address = address
        self._mode = mode
        self._context = context
        self._clock = clock
        self._timestamp_ms = clock.base_ms
        self._parent = parent  # keeps the image open while its levels are in use
        self._ctx = context.tiledb_ctx(address)
        self._lock = threading.Lock()
        self._writer: tuple[int, Any] | None = None
        self._handle: Any = None
        self._closed = True  # until everything below has worked
        # changes apply to what is there now, whatever time they are written with
        read_ms = self._timestamp_ms if mode == "r" else now_ms()
        handle, metadata = _open_for_reading(address, self._ctx, read_ms)
        self._schema = read_schema(handle.schema, address)
        if mode == "r":
            self._handle = handle
        else:
            handle.close()
        self._metadata = Metadata(metadata, self._guard_metadata, uri)
        self._closed = False
        return self

    @classmethod
    def exists(
        cls,
        uri: str,
        context: SOMATileDBContext | None = None,
        tiledb_timestamp: OpenTimestamp | None = None,
    ) -> bool:
        """Tell whether a SOMA dense array is at the URI (at that time)."""
        check_uri(uri)
        try:
            cls.open(uri, context=context, tiledb_timestamp=tiledb_timestamp).close()
        except SOMAError:
            return False
        return True

    def close(self) -> None:
        """Write pending metadata and release the array. May be called again."""
        if self._closed:
            return
        self._flush()
        if self._handle is not None:
            self._handle.close()
        if self._mode == "w":
            self._clock.settle()
        self._closed = True

    def _flush(self) -> None:
        with self._lock:
            if self._writer is not None:
                writer, self._writer = self._writer[1], None
                with storage_errors("finish writing the array", self._address):
                    writer.close()
        changed, dropped = self._metadata.changes()
        if self._mode != "w" or not (changed or dropped):
            return
        stamp = self._clock.for_names(self._address, [*changed, *dropped])
        with (
            storage_errors("write metadata of the array", self._address),
            tiledb.open(self._address, "w", timestamp=stamp, ctx=self._ctx) as array,
        ):
            for key, value in changed.items():
                array.meta[key] = value
            for key in dropped:
                del array.meta[key]
        self._metadata.written()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            with contextlib.suppress(SOMAError):
                self.close()

    def __repr__(self) -> str:
        state = "CLOSED" if self._closed else "open"
        return (
            f"<{type(self).__name__} {self._uri!r} ({state} for {self._mode!r}, shape "
            f"{self.shape}, {self.dtype})>"
        )

    # Reading and writing

    def read(
        self,
        coords: Sequence[Any] = (),
        *,
        result_order: Any = "row-major",
        partitions: Any = None,
        platform_config: Any = None,
    ) -> npt.NDArray[Any]:
        """Read a box of cells.

        Parameters
        ----------
        coords : sequence of None, int or slice
            One per dimension, data axis order; missing ones mean everything. Slices
            include BOTH ends and are clipped to the array; an int keeps its dimension
            with length 1.
        result_order : {"row-major", "column-major"}
            With ``"column-major"`` the result is transposed, as upstream's.

        Returns
        -------
        numpy.ndarray
            Cells never written hold the type's fill value (largest value of unsigned,
            smallest of signed integers; NaN).

        Raises
        ------
        ModeError
            If the array is not open for reading.
        ArgumentError, ArgumentTypeError
            If the coordinates make no sense.
        UnsupportedError
            If the cells are timestamps.
        """
        self._verify("r", "read")
        transposed = check_result_order(result_order)
        if partitions is not None:
            msg = "Reading in partitions is not supported; read boxes by coords instead"
            raise ArgumentError(msg)
        start, stop = coords_to_box(coords, self.shape, self._uri)
        data = self._read_box(start, stop)
        return data.T if transposed else data

    def _read_box(self, start: Sequence[int], stop: Sequence[int]) -> npt.NDArray[Any]:
        """Read the cells ``[start, stop)``, data axis order."""
        self._check_numeric()
        nbytes = self.dtype.itemsize
        for a, b in zip(start, stop, strict=True):
            nbytes *= b - a
        if nbytes > _MAX_READ_BYTES:
            msg = (
                f"Reading {tuple(start)} to {tuple(stop)} of {self._uri!r} would take "
                f"{nbytes / 2**30:.0f} GiB; read a smaller part or a coarser level"
            )
            raise ArgumentError(msg)
        with storage_errors("read the array", self._address):
            cells = self._handle[box_to_slices(start, stop)]
            return np.asarray(cells[ATTRIBUTE] if isinstance(cells, dict) else cells)

    def write(
        self,
        coords: Sequence[Any],
        values: Any,
        *,
        platform_config: Any = None,
    ) -> Self:
        """Write a box of cells; it wins over earlier writes to the same cells.

        Parameters
        ----------
        coords : sequence of None, int or slice
            As for `read`.
        values : array-like or object with ``to_numpy()``
            As many cells per axis as `coords` select; axes selected by an int may be
            left out. Values that the array's type cannot hold are refused.

        Raises
        ------
        ModeError
            If the array is not open for writing.
        ArgumentError, ArgumentTypeError
            If shape or values do not fit; nothing is written.
        """
        self._verify("w", "write to")
        self._check_numeric()
        start, stop = coords_to_box(coords, self.shape, self._uri)
        box_shape = tuple(b - a for a, b in zip(start, stop, strict=True))
        cells = _as_cells(values, self.dtype, self._uri)
        kept = [
            n
            for i, n in enumerate(box_shape)
            if i >= len(coords) or not isinstance(coords[i], int | np.integer)
        ]
        if cells.shape not in (box_shape, tuple(kept)):
            msg = (
                f"values have shape {cells.shape}, but the coordinates select "
                f"{box_shape} of the array at {self._uri!r} (shape {self.shape})"
            )
            raise ArgumentError(msg)
        data = np.ascontiguousarray(cells.reshape(box_shape))
        stamp = self._clock.for_box(self._address, start, stop)
        with storage_errors("write to the array", self._address):
            self._writer_at(stamp)[box_to_slices(start, stop)] = data
        return self

    def _writer_at(self, stamp: int) -> Any:
        with self._lock:
            if self._writer is not None and self._writer[0] == stamp:
                return self._writer[1]
            handle = tiledb.open(self._address, "w", timestamp=stamp, ctx=self._ctx)
            if self._writer is None or self._writer[0] < stamp:
                self._writer = (stamp, handle)
            return handle

    def non_empty_domain(self) -> tuple[tuple[int, int], ...] | None:
        """Return per dimension the first and last cell ever written, or None.

        Both ends are included; the box may hold cells never written.
        """
        self._verify_open("look at")
        with storage_errors("look at the array", self._address):
            if self._handle is not None:
                domain = self._handle.nonempty_domain()
            else:
                stamp = now_ms()
                with tiledb.open(
                    self._address, "r", timestamp=(0, stamp), ctx=self._ctx
                ) as array:
                    domain = array.nonempty_domain()
        return None if domain is None else tuple((int(a), int(b)) for a, b in domain)

    def resize(
        self, newshape: Sequence[int], check_only: bool = False
    ) -> tuple[bool, str]:
        """Grow the array; new cells hold the fill value.

        The level shape in the image's metadata, which the transforms use, stays.

        Parameters
        ----------
        newshape : sequence of int
            At least the present shape along every dimension.
        check_only : bool
            Only tell whether it would work.

        Returns
        -------
        ok : bool
        reason : str
            Why not; empty when `ok`.

        Raises
        ------
        ArgumentError
            If it cannot be done, unless `check_only`.
        ModeError
            If the array is not open for writing.
        """
        sizes = check_shape(newshape, "newshape")
        if check_only:
            reason = check_resize(self._schema, sizes)
            return not reason, reason
        self._verify("w", "resize")
        resize_array(self._address, sizes, self._ctx)
        self._schema = _load_schema(self._address, self._ctx)
        return True, ""

    # Attributes

    @property
    def uri(self) -> str:
        """Address as it was given."""
        return self._uri

    @property
    def mode(self) -> OpenMode:
        """Mode it was opened in: ``"r"``, ``"w"`` or ``"d"``."""
        return self._mode

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    @property
    def context(self) -> SOMATileDBContext:
        """TileDB configuration it was opened with."""
        return self._context

    @property
    def soma_type(self) -> str:
        """``"SOMADenseNDArray"``."""
        return ARRAY_TYPE

    @property
    def tiledb_timestamp_ms(self) -> int:
        """Time it was opened at, in ms since 1970-01-01 UTC."""
        return self._timestamp_ms

    @property
    def tiledb_timestamp(self) -> datetime.datetime:
        """Time it was opened at, UTC."""
        return ms_to_datetime(self._timestamp_ms)

    @property
    def metadata(self) -> Metadata:
        """Metadata of the array; changes are written by `close`."""
        return self._metadata

    @property
    def schema(self) -> ArraySchema:
        """Dimensions, type, tile extents and filters."""
        return self._schema

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of every dimension."""
        return self._schema.shape

    @property
    def maxshape(self) -> tuple[int, ...]:
        """Size up to which every dimension can be resized."""
        return self._schema.maxshape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self._schema.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the cells."""
        return self._schema.dtype

    @property
    def type(self) -> np.dtype[Any]:
        """Type of the cells (upstream: an Arrow type)."""
        return self._schema.dtype

    @property
    def is_sparse(self) -> bool:
        """False: the array is dense."""
        return False

    # Guards

    def _check_numeric(self) -> None:
        if is_timestamp(self.dtype):
            msg = (
                f"The cells of {self._uri!r} are timestamps ({self.dtype}), whose "
                "pixels can be neither read nor written"
            )
            raise UnsupportedError(msg)

    def _verify(self, mode: OpenMode, action: str) -> None:
        self._verify_open(action)
        if self._mode != mode:
            msg = (
                f"Cannot {action} {self._uri!r}: it is open in mode {self._mode!r}; "
                f"open it with mode={mode!r}"
            )
            raise ModeError(msg)

    def _verify_open(self, action: str) -> None:
        if self._closed:
            raise ModeError(
                f"Cannot {action} {self._uri!r}: it is closed; open it again"
            )

    def _guard_metadata(self, access: Literal["read", "write"]) -> None:
        if access == "write":
            self._verify("w", "change metadata of")
        else:
            self._verify_open("read metadata of")


def _open_for_reading(
    address: str, ctx: Any, timestamp_ms: int
) -> tuple[Any, Mapping[str, Any]]:
    """Return an open TileDB array and its metadata, checked to be SOMA's."""
    kind = kind_of(address, ctx)
    if kind != "array":
        what = "Nothing is stored" if kind == "missing" else f"There is a {kind}"
        msg = f"{what} at {address!r}; expected a SOMA dense array"
        raise DoesNotExistError(msg)
    with storage_errors("open the array", address):
        if is_local(address):
            check_headers(address)
        handle = tiledb.open(address, "r", timestamp=(0, timestamp_ms), ctx=ctx)
        try:
            metadata = {key: handle.meta[key] for key in handle.meta.keys()}  # noqa: SIM118
            check_object(metadata, ARRAY_TYPE, address)
        except BaseException:
            handle.close()
            raise
    return handle, metadata


def _load_schema(address: str, ctx: Any) -> ArraySchema:
    with storage_errors("open the array", address):
        return read_schema(tiledb.ArraySchema.load(address, ctx), address)


def _as_cells(values: Any, dtype: np.dtype[Any], uri: str) -> npt.NDArray[Any]:
    """Return values as cells of the array's type, or refuse what it cannot hold."""
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    cells = np.asarray(values)
    if cells.dtype == dtype:
        return cells
    if cells.dtype.kind not in "biuf":
        msg = (
            f"values must be numbers, got {cells.dtype} for the array at {uri!r} of "
            f"type {dtype}"
        )
        raise ArgumentTypeError(msg)
    with np.errstate(invalid="ignore", over="ignore"):
        cast_cells = cells.astype(dtype)
        exact = dtype.kind == "f" or np.array_equal(cast_cells, cells)
        overflow = dtype.kind == "f" and not np.array_equal(
            np.isfinite(cast_cells), np.isfinite(cells)
        )
    if overflow or not exact:
        msg = (
            f"values of type {cells.dtype} do not fit {dtype}, the type of the array "
            f"at {uri!r}; convert them first, for example with "
            f"values.clip(...).astype({dtype.name!r})"
        )
        raise ArgumentError(msg)
    return cast("npt.NDArray[Any]", cast_cells)
