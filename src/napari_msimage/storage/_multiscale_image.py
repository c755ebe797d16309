"""MultiscaleImage: levels, coordinate space and region reads of one SOMA image."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Self

from ..coordinates import CoordinateSpace, coordinate_space_to_json
from ..errors import ArgumentError, ArgumentTypeError
from ._context import check_uri, normalize_uri
from ._image_create import check_spec, create_image
from ._image_levels import channel_position
from ._image_mapping import ImageMapping
from ._image_members import check_array
from ._image_state import ImageState
from ._lazy import LevelArray
from ._metadata import COORDINATE_SPACE
from ._soma_coords import check_result_order
from ._spatial_read import (
    SpatialRead,
    arrange,
    check_axis_order,
    plan_region,
    resolve_region_space,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._context import OpenTimestamp, SOMATileDBContext
    from ._soma_object import Maker


class MultiscaleImage(ImageMapping):
    """An image stored as levels of decreasing resolution on one coordinate space.

    A mapping of level keys to arrays, with the methods and attributes of
    ``tiledbsoma.MultiscaleImage``; results are numpy arrays. Open one with `open` or
    make one with `create`. Use it in a ``with`` block: changes of metadata and levels
    are written when it is closed.

    One unit of the coordinate space is one pixel of the reference level (index 0, the
    finest); pixel i covers ``[i, i + 1)``.

    Raises
    ------
    ArgumentTypeError
        When constructed directly.
    """

    __slots__ = ()

    _state_class = ImageState

    # Lifecycle

    @classmethod
    def create(
        cls,
        uri: str,
        *,
        type: Any,
        level_shape: Sequence[int],
        level_key: str = "level0",
        level_uri: str | None = None,
        coordinate_space: Sequence[str] | CoordinateSpace = ("x", "y"),
        data_axis_order: Sequence[str] | None = None,
        has_channel_axis: bool = True,
        platform_config: Any = None,
        context: SOMATileDBContext | None = None,
        tiledb_timestamp: OpenTimestamp | None = None,
    ) -> Self:
        """Make an image with one level and return it open for writing.

        Everything is checked before anything is written; locally the image appears
        complete or not at all.

        Parameters
        ----------
        uri : str
            Where; parent folders are made.
        type : numpy dtype, Arrow type or Arrow format string
            Pixel type of all levels.
        level_shape : sequence of int
            Shape of the first level, data axis order, channel axis included.
        level_key : str
            Key of the first level.
        level_uri : str, optional
            Where its array is to be, relative to the image unless absolute; an
            existing SOMA array of this shape and type is used as it is.
        coordinate_space : CoordinateSpace or sequence of str
            Spatial axes, or their names, without the channel axis.
        data_axis_order : sequence of str, optional
            Order of the stored axes, the channel named ``"soma_channel"``. Default:
            channel first, then the spatial axes in reverse: ``("soma_channel", "y",
            "x")``.
        has_channel_axis : bool
            Whether there is a channel axis.
        platform_config : optional
            Overrides tile extents and filters of the first level, as for tiledbsoma.
        context : SOMATileDBContext, optional
            TileDB configuration.
        tiledb_timestamp : int or datetime.datetime, optional
            Timestamp of all writes, ms since 1970-01-01 UTC; now by default.

        Raises
        ------
        ArgumentError, ArgumentTypeError
            If an argument makes no sense.
        AlreadyExistsError
            If something is stored at the URI.
        """
        check_uri(uri)
        make = cls._prepare(
            type=type,
            level_shape=level_shape,
            level_key=level_key,
            level_uri=level_uri,
            coordinate_space=coordinate_space,
            data_axis_order=data_axis_order,
            has_channel_axis=has_channel_axis,
            platform_config=platform_config,
        )
        return cls._create(uri, make, context, tiledb_timestamp)

    @classmethod
    def _prepare(
        cls,
        *,
        type: Any,
        level_shape: Sequence[int],
        level_key: str = "level0",
        level_uri: str | None = None,
        coordinate_space: Sequence[str] | CoordinateSpace = ("x", "y"),
        data_axis_order: Sequence[str] | None = None,
        has_channel_axis: bool = True,
        platform_config: Any = None,
    ) -> Maker:
        spec = check_spec(
            pixel_type=type,
            level_shape=level_shape,
            level_key=level_key,
            level_uri=level_uri,
            coordinate_space=coordinate_space,
            data_axis_order=data_axis_order,
            has_channel_axis=has_channel_axis,
            platform_config=platform_config,
        )
        return functools.partial(create_image, spec)

    # Pixels

    def level_array(self, level: int | str) -> LevelArray:
        """Return a lazy view of a level: indexing composes, ``np.asarray`` reads.

        It stays usable after the image is closed. Of an image open for reading it
        shows the state that the image shows, else the present one.

        Raises
        ------
        LevelKeyError, LevelIndexError, ArgumentTypeError
            If there is no such level; see `level_shape`.
        FormatError
            If the array does not fit what the image says of it.
        ModeError
            If the image is closed.
        """
        state = self._state
        state.verify_open("read a level of")
        key = self._level(level).key
        array = LevelArray(
            normalize_uri(state.members[key].uri),
            context=state.context,
            timestamp_ms=state.timestamp_ms if state.mode == "r" else None,
        )
        check_array(state, key, array, stacklevel=2)
        return array

    def read_spatial_region(
        self,
        level: int | str,
        region: Any = None,
        *,
        channel_coords: Any = None,
        region_transform: Any = None,
        region_coord_space: CoordinateSpace | None = None,
        result_order: Any = "row-major",
        data_axis_order: Sequence[str] | None = None,
        platform_config: Any = None,
    ) -> SpatialRead:
        """Read the pixels of a level that a region touches.

        Parameters
        ----------
        level : int or str
            Index or key; see `level_shape`.
        region : sequence of float, or geometry with ``bounds``, optional
            ``(x_min, y_min, x_max, y_max)``: all minima in coordinate axis order, then
            all maxima, for 1 to 3 axes; of a geometry the bounding box. None for the
            whole level.
        channel_coords : int, slice or sequence of int, optional
            Channels; a slice includes both ends. All by default.
        region_transform : AffineTransform, optional
            From the region's space to the image's; the bounding box of the
            transformed region is read.
        region_coord_space : CoordinateSpace, optional
            The region's space; by default the transform's input axes without units.
        result_order : {"row-major", "column-major"}
            With ``"column-major"`` the axes of the result are reversed, as upstream's.
        data_axis_order : sequence of str, optional
            Order of the result's axes, the channel named ``"soma_channel"``; as
            stored by default.
        platform_config : optional
            As upstream's; has no effect.

        Returns
        -------
        SpatialRead
            Pixels, both spaces, and the transform from pixel indices of the block to
            the region's space.

        Raises
        ------
        RegionError
            If the region is malformed or does not overlap the level.
        ModeError
            If the image is not open for reading.
        ArgumentError, ArgumentTypeError, LevelKeyError, LevelIndexError
            If another argument makes no sense.

        Notes
        -----
        As tiledbsoma 2.3: with the region's bounds in level pixels, the pixels
        ``floor(min)`` to ``ceil(max)``, BOTH included, are read, clipped to the level.
        """
        self._state.verify_mode("read", "r")
        reverse = check_result_order(result_order)
        if data_axis_order is not None:
            check_axis_order(data_axis_order, self.data_axis_order)
        if channel_coords is not None and not self.has_channel_axis:
            msg = (
                f"channel_coords given, but the image at {self.uri!r} has no channel "
                "axis"
            )
            raise ArgumentError(msg)
        to_region, space = resolve_region_space(
            self._state.space,
            self.get_transform_to_level(level),
            region_transform,
            region_coord_space,
        )
        array = self._state.array(self._level(level).key, stacklevel=2)
        plan = plan_region(
            region,
            to_region,
            space,
            channel_coords,
            array.schema.shape,
            self._state.schema,
            self.uri,
        )
        block = array.read_box(plan.start, plan.stop)
        if plan.channels is not None:
            block = block.take(plan.channels, axis=channel_position(self._state.schema))
        block = arrange(block, self.data_axis_order, data_axis_order)
        return SpatialRead(
            block.T if reverse else block, self._state.space, space, plan.transform
        )

    @property
    def coordinate_space(self) -> CoordinateSpace:
        """Space of the image; units can be changed, axis names cannot."""
        return self._state.space

    @coordinate_space.setter
    def coordinate_space(self, value: CoordinateSpace) -> None:
        if not isinstance(value, CoordinateSpace):
            msg = f"coordinate_space must be a CoordinateSpace, got {value!r}"
            raise ArgumentTypeError(msg)
        names = self._state.space.axis_names
        if value.axis_names != names:
            msg = (
                f"The axes of the image at {self.uri!r} are {names} "
                f"and cannot be changed to {value.axis_names}; only units can"
            )
            raise ArgumentError(msg)
        self._state.verify_mode("change the coordinate space of", "w")
        self._state.metadata.put(COORDINATE_SPACE, coordinate_space_to_json(value))
        self._state.space = value
