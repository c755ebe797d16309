"""Making the array of a level before, or without, the image that it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._context import check_context, normalize_uri
from ._layout import plan_layout
from ._staged_array import StagedArray

if TYPE_CHECKING:
    import numpy as np

    from ._context import SOMATileDBContext
    from ._new_levels import LevelSpec


def create_level_array(
    uri: str,
    spec: LevelSpec,
    dtype: np.dtype[Any],
    channel_axis: int | None,
    *,
    timestamp_ms: int,
    context: SOMATileDBContext | None = None,
) -> StagedArray:
    """Make an empty array that can become a level.

    Parameters
    ----------
    uri : str
        Where; nothing may be there.
    spec : LevelSpec
        Key, shape and layout.
    dtype : numpy.dtype
        Pixel type.
    channel_axis : int or None
        Position of the channel axis.
    timestamp_ms : int
        Timestamp of its metadata, ms since 1970-01-01 UTC.
    context : SOMATileDBContext, optional
        TileDB configuration.

    Returns
    -------
    StagedArray
        Its ``check`` tells whether all pixels were written.

    Raises
    ------
    AlreadyExistsError
        If something is stored at the address.
    ArgumentError, ArgumentTypeError
        If the layout makes no sense.
    """
    address = normalize_uri(uri)
    layout = plan_layout(
        spec.shape, dtype, channel_axis, spec.platform_config, spec.tile_extents
    )
    array = StagedArray(spec.key, address, spec.shape, dtype, layout)
    array.create(check_context(context).tiledb_ctx(address), timestamp_ms)
    return array
