"""Reading a box of cells from an open TileDB array, straight into a buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tiledb
from tiledb import libtiledb

from ..errors import StorageError
from ._array_schema import ATTRIBUTE
from ._context import storage_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


def read_box(
    array: Any,
    ctx: Any,
    uri: str,
    start: Sequence[int],
    stop: Sequence[int],
    out: npt.NDArray[Any],
) -> None:
    """Read the cells ``[start, stop)`` of an array.

    Parameters
    ----------
    array : tiledb.DenseArray
        Open for reading, with the attribute ``soma_data``.
    ctx : tiledb.Ctx
        The context it was opened with.
    uri : str
        For messages.
    start, stop : sequence of int, (n_dims,)
        Half-open bounds within the shape, data axis order; not empty.
    out : ndarray, shape ``stop - start``
        C-contiguous, of the array's dtype, not timestamps; filled in place. Cells
        never written get the fill value.

    Raises
    ------
    DoesNotExistError
        If the array was removed or moved since it was opened.
    StorageError
        If the store is damaged or does not answer, or memory runs out.

    Notes
    -----
    ``array[...]`` makes a buffer, a dict and some copies of the schema; the low-level
    query saves about 0.3 ms a read (TileDB-Py 0.36).
    """
    with storage_errors("read the array", uri):
        box = tiledb.Subarray(array, ctx)
        box.add_ranges([[(a, b - 1)] for a, b in zip(start, stop, strict=True)])
        query = tiledb.Query(array, ctx)
        query.layout = libtiledb.LayoutType.ROW_MAJOR
        query.set_subarray(box)
        flat = out.reshape(-1)
        query.set_data_buffer(ATTRIBUTE, flat, flat.size)
        status = query._submit()
    if status != libtiledb.QueryStatus.COMPLETE:
        msg = (
            f"Cannot read the box {tuple(start)} to {tuple(stop)} of {uri!r}: TileDB "
            f"stopped with {status.name} after using up its memory budget. Read a "
            "smaller part, or raise 'sm.mem.total_budget' in the context."
        )
        raise StorageError(msg)
