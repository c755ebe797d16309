"""write_image: levels that exist as arrays become a new image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._given_levels import check_given
from ._store_plan import ImageToWrite
from ._store_write import write_store

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from ..coordinates import CoordinateSpace
    from ..storage import SOMATileDBContext
    from ._pixel_source import PixelSource
    from ._progress import Progress


def write_image(
    uri: str,
    levels: Sequence[PixelSource],
    *,
    coordinate_space: CoordinateSpace | Sequence[str] = ("x", "y"),
    data_axis_order: Sequence[str] | None = None,
    has_channel_axis: bool = True,
    level_keys: Sequence[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    context: SOMATileDBContext | None = None,
    platform_config: Any = None,
) -> Generator[Progress, None, None]:
    """Write arrays as the levels of a new image; an engine, see `run`.

    On local disks the image appears when it is complete and checked, or not at all: it
    is written to a temporary folder beside `uri`, which is renamed at the end and
    removed on an error or when the generator is closed. Elsewhere it is written in
    place. At most about 256 MiB of pixels are in memory at a time.

    Parameters
    ----------
    uri : str
        Where the image shall be; nothing may be there yet.
    levels : sequence of array-likes
        Finest first, in data axis order; each with ``shape``, ``dtype`` and box
        indexing.
    coordinate_space : CoordinateSpace or sequence of str, optional
        Spatial axes.
    data_axis_order : sequence of str, optional
        Axis names of the arrays, the channel as ``soma_channel``; default is the
        channel first, then the spatial axes reversed (channel, y, x).
    has_channel_axis : bool, optional
        Whether the arrays have a channel axis.
    level_keys : sequence of str, optional
        Default is ``level0``, ``level1`` and so on.
    metadata : mapping, optional
        Entries for the image's metadata.
    context : SOMATileDBContext, optional
        TileDB configuration.
    platform_config : optional
        Tile extents and filters, as for `MultiscaleImage.create`.

    Yields
    ------
    Progress
        Bytes of pixels written and to be written.

    Raises
    ------
    ArgumentError
        If levels do not shrink, differ in channels or number of axes, or names do not
        fit; raised before anything is written.
    ArgumentTypeError
        If a level is not array-like, dtypes differ, or an image cannot hold the dtype.
    AlreadyExistsError
        If there is something at `uri`.
    StorageError
        If the disk is too small, writing fails, or the written image is not as it
        should be.
    """
    given = check_given(
        levels,
        coordinate_space=coordinate_space,
        data_axis_order=data_axis_order,
        has_channel_axis=has_channel_axis,
        level_keys=level_keys,
    )
    image = ImageToWrite(
        levels=tuple(levels),
        coordinate_space=given.coordinate_space,
        data_axis_order=given.data_axis_order,
        level_keys=given.keys,
        metadata=metadata or {},
        platform_config=platform_config,
        more_levels=False,
    )
    yield from write_store(uri, image, context=context)
