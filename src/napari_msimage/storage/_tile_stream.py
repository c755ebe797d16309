"""Writing a box of an array as one fragment: tile by tile as a stream, or at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import tiledb
from tiledb import libtiledb

from ..errors import ArgumentError
from ._array_schema import ATTRIBUTE
from ._context import check_context, normalize_uri, storage_errors
from ._soma_coords import box_to_slices

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ._context import SOMATileDBContext


class ArrayWriter:
    """Writes disjoint boxes of one array; others may write to it at the same time.

    Parameters
    ----------
    uri : str
        Address of the array.
    timestamp_ms : int
        Timestamp of all that is written, in ms since 1970-01-01 UTC.
    context : SOMATileDBContext, optional
        TileDB configuration.
    """

    def __init__(
        self, uri: str, timestamp_ms: int, context: SOMATileDBContext | None = None
    ) -> None:
        self.uri = normalize_uri(uri)
        self._ctx = check_context(context).tiledb_ctx(self.uri)
        with storage_errors("write to the level", self.uri):
            self._array = tiledb.open(
                self.uri, "w", timestamp=timestamp_ms, ctx=self._ctx
            )

    def write(
        self, start: Sequence[int], stop: Sequence[int], pixels: npt.NDArray[Any]
    ) -> None:
        """Write the cells ``[start, stop)``, data axis order, as one fragment."""
        with storage_errors("write to the level", self.uri):
            box = box_to_slices(start, stop)
            self._array[box] = np.ascontiguousarray(pixels)

    def stream(self, start: Sequence[int], stop: Sequence[int]) -> TileStream:
        """Return a stream that writes the whole tiles in ``[start, stop)``.

        Raises
        ------
        ArgumentError
            If the box does not consist of whole tiles.
        """
        return TileStream(self, start, stop)

    def close(self) -> None:
        """Release the array; streams that are not finished have written nothing."""
        with storage_errors("finish writing the level", self.uri):
            self._array.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class TileStream:
    """Writes whole tiles in tile order, any number at a time, into one fragment.

    Notes
    -----
    A query in TileDB's global order. TileDB-Py offers none for dense arrays, its
    compiled module does (0.36). TileDB wants whole tiles, within the current domain.
    """

    def __init__(
        self, writer: ArrayWriter, start: Sequence[int], stop: Sequence[int]
    ) -> None:
        self._uri = writer.uri
        array, ctx = writer._array, writer._ctx
        domain = array.schema.domain
        extents = tuple(int(domain.dim(i).tile) for i in range(domain.ndim))
        if any(a % e or b % e for a, b, e in zip(start, stop, extents, strict=True)):
            msg = (
                f"The box {tuple(start)} to {tuple(stop)} of {self._uri!r} is not made "
                f"of whole tiles, which are {extents}"
            )
            raise ArgumentError(msg)
        self._cells_left = math.prod(b - a for a, b in zip(start, stop, strict=True))
        with storage_errors("write to the level", self._uri):
            box = tiledb.Subarray(array, ctx)
            box.add_ranges([[(a, b - 1)] for a, b in zip(start, stop, strict=True)])
            self._query = libtiledb.Query(ctx, array.array, libtiledb.QueryType.WRITE)
            self._query.layout = libtiledb.LayoutType.GLOBAL_ORDER
            self._query.set_subarray(box)

    def write(self, tiles: npt.NDArray[Any]) -> None:
        """Write the next tiles; the last ones of the box make the fragment complete.

        Parameters
        ----------
        tiles : ndarray, (n_tiles, ...)
            C-contiguous, of the array's type: tile after tile in row-major order of
            the tiles in the box, the cells of each in row-major order.
        """
        with storage_errors("write to the level", self._uri):
            flat = tiles.reshape(-1)
            self._query.set_data_buffer(ATTRIBUTE, flat, flat.size)
            self._query._submit()
            self._cells_left -= flat.size
            if not self._cells_left:
                self._query.finalize()
