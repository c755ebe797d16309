"""DenseNDArray: schema, read and write of one level."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError, SOMAError
from ._array_schema import check_resize, create_array
from ._array_state import ArrayState
from ._clock import WriteClock
from ._context import check_context, check_uri, normalize_uri
from ._datatypes import to_dtype
from ._layout import plan_layout
from ._metadata import check_shape
from ._soma_coords import check_mode, check_result_order, coords_to_box
from ._soma_object import SOMAObject
from ._soma_types import ARRAY_TYPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ._array_schema import ArraySchema
    from ._context import OpenTimestamp, SOMATileDBContext
    from ._soma_object import Maker, OpenMode


class DenseNDArray(SOMAObject):
    """A dense n-dimensional SOMA array, such as one level of an image.

    Open one with `open`, `create`, or by indexing a `MultiscaleImage`. Behaves like
    ``tiledbsoma.DenseNDArray``, except that results are numpy arrays.
    """

    _state: ArrayState

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        msg = (
            "DenseNDArray is not made directly; use DenseNDArray.open(uri) or "
            "DenseNDArray.create(uri, type=..., shape=...)"
        )
        raise ArgumentTypeError(msg)

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
        make = cls._prepare(type=type, shape=shape, platform_config=platform_config)
        clock = WriteClock(context.open_timestamp_ms(tiledb_timestamp))
        make(address, context, clock)
        return cls._open(uri, address, "w", context, clock)

    @classmethod
    def _prepare(
        cls, *, type: Any, shape: Sequence[int], platform_config: Any = None
    ) -> Maker:
        """Check the options of `create`, and return the function that writes."""
        dtype = to_dtype(type)
        sizes = check_shape(shape, "shape")
        if not 1 <= len(sizes) <= 5:
            msg = f"shape must have 1 to 5 sizes, got {sizes}"
            raise ArgumentError(msg)
        layout = plan_layout(sizes, dtype, None, platform_config)

        def make(address: str, context: SOMATileDBContext, clock: WriteClock) -> None:
            ctx = context.tiledb_ctx(address)
            create_array(address, sizes, dtype, layout, ctx, clock.base_ms)

        return make

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
        platform_config : optional
            As upstream's; has no effect.

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
    ) -> Self:
        """Open at a normalized address."""
        return cls._of_owner(ArrayState(uri, address, mode, context, clock), None)

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
        self._state.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_owner") and self._owner is None:
            with contextlib.suppress(SOMAError):
                self.close()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        msg = (
            f"An open array cannot be copied or pickled ({self!r}); pass its uri, "
            f"{self.uri!r}, and open it there"
        )
        raise ArgumentTypeError(msg)

    def __repr__(self) -> str:
        state = "CLOSED" if self.closed else "open"
        return (
            f"<{type(self).__name__} {self.uri!r} ({state} for {self.mode!r}, shape "
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
        partitions : None
            As upstream's; not supported.
        platform_config : optional
            As upstream's; has no effect.

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
        self._state.verify_mode("read", "r")
        transposed = check_result_order(result_order)
        if partitions is not None:
            msg = "Reading in partitions is not supported; read boxes by coords instead"
            raise ArgumentError(msg)
        start, stop = coords_to_box(coords, self.shape, self.uri)
        data = self._state.read_box(start, stop)
        return data.T if transposed else data

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
        platform_config : optional
            As upstream's; has no effect.

        Raises
        ------
        ModeError
            If the array is not open for writing.
        ArgumentError, ArgumentTypeError
            If shape or values do not fit; nothing is written.
        """
        self._state.verify_mode("write to", "w")
        self._state.verify_numeric()
        start, stop = coords_to_box(coords, self.shape, self.uri)
        box_shape = tuple(b - a for a, b in zip(start, stop, strict=True))
        cells = _as_cells(values, self.dtype, self.uri)
        kept = tuple(
            size
            for i, size in enumerate(box_shape)
            if i >= len(coords) or not isinstance(coords[i], int | np.integer)
        )
        if cells.shape not in (box_shape, kept):
            msg = (
                f"values have shape {cells.shape}, but the coordinates select "
                f"{box_shape} of the array at {self.uri!r} (shape {self.shape})"
            )
            raise ArgumentError(msg)
        block = np.ascontiguousarray(cells.reshape(box_shape))
        self._state.write_box(start, stop, block)
        return self

    def non_empty_domain(self) -> tuple[tuple[int, int], ...]:
        """Return per dimension the first and last cell ever written.

        Both ends are included, and the box may hold cells never written. For an array
        never written to it is the first cell, as upstream's.
        """
        self._state.verify_open("look at")
        return self._state.non_empty_domain()

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
            reason = check_resize(self.schema, sizes)
            return not reason, reason
        self._state.verify_mode("resize", "w")
        self._state.resize(sizes)
        return True, ""

    # Attributes

    @property
    def soma_type(self) -> str:
        """``"SOMADenseNDArray"``."""
        return ARRAY_TYPE

    @property
    def schema(self) -> ArraySchema:
        """Dimensions, type, tile extents and filters."""
        return self._state.schema

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of every dimension."""
        return self._state.schema.shape

    @property
    def maxshape(self) -> tuple[int, ...]:
        """Size up to which every dimension can be resized."""
        return self._state.schema.maxshape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self._state.schema.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the cells."""
        return self._state.schema.dtype

    @property
    def type(self) -> np.dtype[Any]:
        """Type of the cells (upstream: an Arrow type)."""
        return self._state.schema.dtype

    @property
    def is_sparse(self) -> bool:
        """False: the array is dense."""
        return False


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
    return cast_cells
