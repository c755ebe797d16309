"""MultiscaleImage: levels, coordinate space and region reads of one SOMA image."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Self

from ..coordinates import CoordinateSpace, coordinate_space_to_json
from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    LevelKeyError,
    SOMAError,
    StoreWarning,
)
from ._clock import WriteClock
from ._context import check_context, check_uri, normalize_uri
from ._dense_array import DenseNDArray
from ._image_create import check_spec, create_image, level_array
from ._image_description import ImageDescription
from ._image_levels import Level, channel_position
from ._image_members import check_array, check_new_level, member_for
from ._image_state import ImageState
from ._layout import plan_layout
from ._lazy import LevelArray
from ._metadata import COORDINATE_SPACE
from ._soma_coords import check_mode, check_result_order
from ._spatial_read import (
    SpatialRead,
    arrange,
    check_axis_order,
    plan_region,
    resolve_region_space,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._array_state import OpenMode
    from ._context import OpenTimestamp, SOMATileDBContext


class MultiscaleImage(ImageDescription, MutableMapping[str, DenseNDArray]):
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

    __slots__ = ("__weakref__", "_children", "_fetched")

    _children: list[DenseNDArray]
    _fetched: dict[str, DenseNDArray]

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        msg = (
            "MultiscaleImage is not made directly; use MultiscaleImage.open(uri) or "
            "MultiscaleImage.create(uri, type=..., level_shape=...)"
        )
        raise ArgumentTypeError(msg)

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
        address = normalize_uri(check_uri(uri))
        context = check_context(context)
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
        clock = WriteClock(context.open_timestamp_ms(tiledb_timestamp))
        create_image(spec, address, context, clock)
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
        """Open an image; no pixels are read.

        Parameters
        ----------
        uri : str
            Folder or address of the image.
        mode : {"r", "w", "d"}
            Read, write (also adds and removes levels), or delete levels only.
        tiledb_timestamp : int or datetime.datetime, optional
            Reading: show the state of that time. Writing: write with it; what is
            changed is the present state.
        context : SOMATileDBContext, optional
            TileDB configuration.
        platform_config : optional
            As upstream's; has no effect.

        Raises
        ------
        DoesNotExistError
            If no TileDB group is there.
        FormatError
            If it is not a SOMA multiscale image, damaged, or of an unknown version.
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
        self = object.__new__(cls)
        self._state = ImageState(uri, address, context, clock)
        self._children = []
        self._fetched = {}
        self._state.load(mode, stacklevel=3)
        return self

    def reopen(
        self, mode: OpenMode, tiledb_timestamp: OpenTimestamp | None = None
    ) -> Self:
        """Write pending changes and open again in another mode, in place.

        Levels fetched before stay open in their mode; new ones get the new mode.

        Returns
        -------
        MultiscaleImage
            This same object.
        """
        check_mode(mode)
        state = self._state
        explicit = state.context.open_timestamp_ms(tiledb_timestamp)
        if not state.closed:
            for child in self._children:
                child._state.flush()
            state.flush()
            state.clock.settle()
        state.clock.restart(explicit)
        state.load(mode, stacklevel=2)
        self._fetched.clear()
        return self

    def close(self) -> None:
        """Write pending changes and close the image and its levels.

        May be called again. When writing fails the image stays open and keeps the
        changes.
        """
        state = self._state
        if state.closed:
            return
        for child in self._children:
            child.close()
        state.flush()
        if state.mode != "r":
            state.clock.settle()
        self._children.clear()
        self._fetched.clear()
        state.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_state") and not self._state.closed:
            with contextlib.suppress(SOMAError):
                self.close()

    @classmethod
    def exists(
        cls,
        uri: str,
        context: SOMATileDBContext | None = None,
        tiledb_timestamp: OpenTimestamp | None = None,
    ) -> bool:
        """Tell whether a SOMA multiscale image is at the URI (at that time)."""
        check_uri(uri)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StoreWarning)
            try:
                cls.open(
                    uri, context=context, tiledb_timestamp=tiledb_timestamp
                ).close()
            except SOMAError:
                return False
        return True

    # Mapping of level keys to arrays

    def __getitem__(self, key: str) -> DenseNDArray:
        """Return the array of a level, open in the image's mode."""
        self._state.verify_open("open a level of")
        if key not in self._state.members:
            raise self._no_level(key)
        child = self._fetched.get(key)
        if child is None or child.closed:
            child = DenseNDArray._open(
                self._level_uri(key),
                normalize_uri(self._state.members[key].uri),
                self._state.mode,
                self._state.context,
                self._state.clock,
                parent=self,
            )
            check_array(self._state, key, child)
            self._fetched[key] = child
            self._children.append(child)
        return child

    def __setitem__(self, key: str, value: DenseNDArray) -> None:
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        """Remove a level; its array stays in the folder, as upstream leaves it."""
        state = self._state
        state.verify_mode("remove a level of", "d", "w")
        if key not in state.members:
            raise self._no_level(key)
        if state.mode == "w":
            warnings.warn(
                "Removing a level in mode 'w' is deprecated upstream; use mode 'd'",
                DeprecationWarning,
                stacklevel=2,
            )
        state.remove(key)
        self._fetched.pop(key, None)

    def popitem(self) -> tuple[str, DenseNDArray]:
        """Remove the first level by name; return its key and its array, still open.

        Raises
        ------
        LevelKeyError
            If the image has no level.
        """
        for key in self:
            return key, self.pop(key)
        msg = f"The image at {self.uri!r} has no level to remove"
        raise LevelKeyError(msg)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._state.members))

    def __len__(self) -> int:
        return len(self._state.members)

    def __contains__(self, key: object) -> bool:
        return key in self._state.members

    def set(
        self,
        key: str,
        value: DenseNDArray,
        *,
        use_relative_uri: bool | None = None,
    ) -> Self:
        """Make an existing array a level of this image.

        Parameters
        ----------
        key : str
            Key of the new level.
        value : DenseNDArray
            Array of the image's type and channel count, inside or outside its folder.
        use_relative_uri : bool, optional
            Store its address relative to the image; by default for arrays inside its
            folder.

        Returns
        -------
        MultiscaleImage
            This image.

        Raises
        ------
        LevelKeyError
            If the image has a level of this key.
        ArgumentError, ArgumentTypeError
            If the array does not fit.
        """
        if not isinstance(value, DenseNDArray):
            msg = f"A level must be a DenseNDArray, got {type(value).__name__}"
            raise ArgumentTypeError(msg)
        shape = check_new_level(self._state, key, value.shape)
        if value.dtype != self._state.schema.dtype:
            msg = (
                f"The array at {value.uri!r} has type {value.dtype}; the image at "
                f"{self.uri!r} has {self._state.schema.dtype}"
            )
            raise ArgumentError(msg)
        self._state.verify_mode("add a level to", "w")
        self._state.add(
            Level(key, shape), member_for(self._state, key, value, use_relative_uri)
        )
        return self

    def add_new_level(
        self,
        key: str,
        *,
        uri: str | None = None,
        shape: Sequence[int],
        platform_config: Any = None,
    ) -> DenseNDArray:
        """Add a level, pixels not written yet.

        The level belongs to the image once the image is closed.

        Parameters
        ----------
        key : str
            Key of the new level.
        uri : str, optional
            Where its array is to be, relative to the image unless absolute; an
            existing SOMA array of this shape and type is used as it is.
        shape : sequence of int
            Shape in data axis order, channel axis included.
        platform_config : optional
            Overrides tile extents and filters, as for tiledbsoma.

        Returns
        -------
        DenseNDArray
            The level's array, open for writing.

        Raises
        ------
        LevelKeyError
            If the image has a level of this key.
        ArgumentError, ArgumentTypeError
            If key or shape make no sense.
        ModeError
            If the image is not open for writing.
        """
        sizes = check_new_level(self._state, key, shape)
        dtype = self._state.schema.dtype
        layout = plan_layout(
            sizes, dtype, channel_position(self._state.schema), platform_config
        )
        self._state.verify_mode("add a level to", "w")
        with level_array(
            key,
            uri,
            sizes,
            dtype,
            layout,
            target=self._state.address,
            address=self._state.address,
            context=self._state.context,
            timestamp_ms=self._state.clock.base_ms,
        ) as member:
            self._state.add(Level(key, sizes), member)
        return self[key]

    def level_array(self, level: int | str) -> LevelArray:
        """Return a lazy view of a level: indexing composes, ``np.asarray`` reads.

        It stays usable after the image is closed.
        """
        self._state.verify_open("read a level of")
        return LevelArray(
            normalize_uri(self._state.members[self._level(level).key].uri),
            context=self._state.context,
            timestamp_ms=self._state.timestamp_ms,
        )

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
        array = self[self._level(level).key]
        plan = plan_region(
            region,
            to_region,
            space,
            channel_coords,
            array.shape,
            self._state.schema,
            self.uri,
        )
        block = array._state.read_box(plan.start, plan.stop)
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
        if value.axis_names != self._state.space.axis_names:
            msg = (
                f"The axes of the image at {self.uri!r} are {self._state.space.axis_names} "
                f"and cannot be changed to {value.axis_names}; only units can"
            )
            raise ArgumentError(msg)
        self._state.verify_mode("change the coordinate space of", "w")
        self._state.metadata.put(COORDINATE_SPACE, coordinate_space_to_json(value))
        self._state.space = value

    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def verify_open_for_writing(self) -> None:
        """Do nothing if the image is open for writing.

        Raises
        ------
        ModeError
            If it is closed or open in another mode.
        """
        self._state.verify_mode("write to", "w")

    def _no_level(self, key: object) -> LevelKeyError:
        names = ", ".join(map(repr, self)) or "none"
        return LevelKeyError(
            f"No level {key!r} in the image at {self.uri!r}; its levels are {names}"
        )
