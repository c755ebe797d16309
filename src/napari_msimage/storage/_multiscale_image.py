"""MultiscaleImage: levels, coordinate space and region reads of one SOMA image."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from ..coordinates import (
    CoordinateSpace,
    IdentityTransform,
    ScaleTransform,
    coordinate_space_to_json,
)
from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    FormatError,
    LevelKeyError,
    ModeError,
    SOMAError,
    StoreWarning,
)
from ._clock import WriteClock
from ._context import (
    OpenTimestamp,
    SOMATileDBContext,
    check_context,
    check_uri,
    is_local,
    local_path,
    ms_to_datetime,
    normalize_uri,
    now_ms,
)
from ._dense_array import DenseNDArray, OpenMode, check_mode, check_result_order
from ._group import GroupChange, Member, commit, load_group
from ._image_create import (
    check_spec,
    create_image,
    level_array,
    relative_member,
)
from ._image_levels import (
    Level,
    channel_count,
    channel_position,
    find_levels,
    resolve_level,
    sort_levels,
    spatial_shape,
)
from ._layout import plan_layout
from ._lazy import LevelArray
from ._metadata import (
    CHANNEL_AXIS,
    COORDINATE_SPACE,
    IMAGE_TYPE,
    LEVEL_PREFIX,
    Metadata,
    check_shape,
    read_image_metadata,
    shape_to_json,
)
from ._names import check_level_key
from ._probe import require_group
from ._spatial_read import (
    SpatialRead,
    arrange,
    check_axis_order,
    plan_region,
    resolve_region_space,
)

if TYPE_CHECKING:
    import datetime

    import numpy as np


class MultiscaleImage(MutableMapping[str, DenseNDArray]):
    """An image stored as levels of decreasing resolution on one coordinate space.

    A mapping of level keys to arrays, with the methods and attributes of
    ``tiledbsoma.MultiscaleImage``; results are numpy arrays. Open one with `open` or
    make one with `create`. Use it in a ``with`` block: changes of metadata and levels
    are written when it is closed.

    One unit of the coordinate space is one pixel of the reference level (index 0, the
    finest); pixel i covers ``[i, i + 1)``.

    Raises
    ------
    TypeError
        When constructed directly.
    """

    __slots__ = (
        "__weakref__",
        "_address",
        "_children",
        "_clock",
        "_closed",
        "_context",
        "_deleted",
        "_fetched",
        "_levels",
        "_members",
        "_metadata",
        "_mode",
        "_schema",
        "_space",
        "_stored_members",
        "_timestamp_ms",
        "_uri",
    )

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        msg = (
            "MultiscaleImage is not made directly; use MultiscaleImage.open(uri) or "
            "MultiscaleImage.create(uri, type=..., level_shape=...)"
        )
        raise TypeError(msg)

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
        self._uri = uri
        self._address = address
        self._context = context
        self._clock = clock
        self._children: list[DenseNDArray] = []
        self._load(mode, stacklevel=4)
        return self

    def _load(self, mode: OpenMode, stacklevel: int) -> None:
        """Read members and metadata; nothing changes when that fails."""
        ctx = self._context.tiledb_ctx(self._address)
        require_group(self._address, ctx)
        timestamp_ms = self._clock.base_ms
        # changes apply to the present state, whatever time they are written with
        stored = load_group(
            self._address, ctx, timestamp_ms if mode == "r" else now_ms()
        )
        space, schema = read_image_metadata(stored.metadata, self._address)
        levels = find_levels(
            stored.metadata, stored.members, schema, self._address, stacklevel + 1
        )
        self._mode: OpenMode = mode
        self._closed = False
        self._timestamp_ms = timestamp_ms
        self._space, self._schema, self._levels = space, schema, levels
        self._metadata = Metadata(stored.metadata, self._guard_metadata, self._uri)
        self._stored_members: dict[str, Member] = stored.members
        kept = {level.key for level in levels}
        self._members = {k: m for k, m in stored.members.items() if k in kept}
        self._deleted: set[str] = set()
        self._fetched: dict[str, DenseNDArray] = {}

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
        explicit = self._context.open_timestamp_ms(tiledb_timestamp)
        if not self._closed:
            self._flush()
            for child in self._children:
                child._flush()
            self._clock.settle()
        self._clock.restart(explicit)
        self._load(mode, stacklevel=2)
        return self

    def close(self) -> None:
        """Write pending changes and close the image and its levels.

        May be called again. When writing fails the image stays open and keeps the
        changes.
        """
        if self._closed:
            return
        for child in self._children:
            child.close()
        self._flush()
        if self._mode != "r":
            self._clock.settle()
        self._children.clear()
        self._fetched.clear()
        self._closed = True

    def _flush(self) -> None:
        """Write what changed since the image was opened or last flushed."""
        if self._mode == "r":
            return
        changed, dropped = self._metadata.changes()
        before, now = self._stored_members, self._members
        added = tuple(m for k, m in now.items() if before.get(k) is not m)
        removed = tuple(k for k in self._deleted if k in before and k not in now)
        replaced = tuple(m.name for m in added if m.name in before)
        change = GroupChange(added, removed + replaced, changed, tuple(dropped))
        if not change:
            return
        names = [*changed, *dropped, *removed, *(member.name for member in added)]
        stamp = self._clock.for_names(self._address, names)
        commit(self._address, change, self._context.tiledb_ctx(self._address), stamp)
        self._metadata.written()
        kept = {k: m for k, m in before.items() if k not in removed}
        self._stored_members = {**kept, **now}
        self._deleted.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
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
        self._verify_open("open a level of")
        if key not in self._members:
            raise self._no_level(key)
        child = self._fetched.get(key)
        if child is None or child.closed:
            child = DenseNDArray._open(
                self._level_uri(key),
                normalize_uri(self._members[key].uri),
                self._mode,
                self._context,
                self._clock,
                parent=self,
            )
            self._check_array(key, child)
            self._fetched[key] = child
            self._children.append(child)
        return child

    def _check_array(self, key: str, array: DenseNDArray) -> None:
        """Compare an array with what the image says of it.

        Raises
        ------
        FormatError
            If the type differs, or pixels are missing.
        """
        shape = next(level.shape for level in self._levels if level.key == key)
        problem = ""
        if array.dtype != self._schema.dtype:
            problem = f"type {array.dtype}, but the image has {self._schema.dtype}"
        elif len(array.shape) != len(shape) or any(
            a < b for a, b in zip(array.shape, shape, strict=True)
        ):
            problem = f"shape {array.shape}, but the image's metadata says {shape}"
        elif channel_count(array.shape, self._schema) != self.nchannels:
            problem = (
                f"shape {array.shape}, but the image has {self.nchannels} channels"
            )
        if problem:
            array.close()
            msg = (
                f"The array of level {key!r} of {self._uri!r} has {problem}. The image "
                "is damaged; restore a copy or remove the level."
            )
            raise FormatError(msg)
        if array.shape != shape:
            msg = (
                f"The array of level {key!r} of {self._uri!r} was resized to "
                f"{array.shape}; transforms still use the shape {shape}"
            )
            warnings.warn(msg, StoreWarning, stacklevel=3)

    def __setitem__(self, key: str, value: DenseNDArray) -> None:
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        """Remove a level; its array stays in the folder, as upstream leaves it."""
        self._verify_open("remove a level of")
        if self._mode == "r":
            raise self._wrong_mode("remove a level of", "d")
        if key not in self._members:
            raise self._no_level(key)
        if self._mode == "w":
            warnings.warn(
                "Removing a level in mode 'w' is deprecated upstream; use mode 'd'",
                DeprecationWarning,
                stacklevel=2,
            )
        del self._members[key]
        self._deleted.add(key)
        self._fetched.pop(key, None)
        self._metadata.drop(LEVEL_PREFIX + key)
        self._levels = [level for level in self._levels if level.key != key]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._members))

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, key: object) -> bool:
        return key in self._members

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
        shape = self._check_new_level(key, value.shape)
        if value.dtype != self._schema.dtype:
            msg = (
                f"The array at {value.uri!r} has type {value.dtype}; the image at "
                f"{self._uri!r} has {self._schema.dtype}"
            )
            raise ArgumentError(msg)
        self._verify_write("add a level to")
        self._register(
            Level(key, shape), self._member_for(key, value, use_relative_uri)
        )
        return self

    def _member_for(
        self, key: str, array: DenseNDArray, use_relative_uri: bool | None
    ) -> Member:
        uri = normalize_uri(array.uri)
        inside = uri.startswith(self._address + "/")
        if use_relative_uri is None:
            use_relative_uri = inside
        if not use_relative_uri:
            return Member(key, uri, is_relative=False, stored=uri)
        if inside:
            return relative_member(key, uri[len(self._address) + 1 :], self._address)
        if is_local(uri) and is_local(self._address):
            path = os.path.relpath(uri, self._address).replace(os.sep, "/")
            return relative_member(key, path, self._address)
        msg = (
            f"The array at {uri!r} has no address relative to the image at "
            f"{self._uri!r}; use use_relative_uri=False"
        )
        raise ArgumentError(msg)

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
        sizes = self._check_new_level(key, shape)
        dtype = self._schema.dtype
        layout = plan_layout(
            sizes, dtype, channel_position(self._schema), platform_config
        )
        self._verify_write("add a level to")
        with level_array(
            key,
            uri,
            sizes,
            dtype,
            layout,
            target=self._address,
            address=self._address,
            context=self._context,
            timestamp_ms=self._clock.base_ms,
        ) as member:
            self._register(Level(key, sizes), member)
        return self[key]

    def _check_new_level(self, key: Any, shape: Any) -> tuple[int, ...]:
        check_level_key(key)
        if key in self._members:
            msg = f"The image at {self._uri!r} already has a level {key!r}"
            raise LevelKeyError(msg)
        sizes = check_shape(shape, "shape")
        order = self.data_axis_order
        if len(sizes) != len(order):
            msg = (
                f"shape {sizes} has {len(sizes)} sizes; the image has the axes {order}"
            )
            raise ArgumentError(msg)
        channels = channel_count(sizes, self._schema)
        if self._levels and channels != self.nchannels:
            msg = (
                f"Level {key!r} would have {channels} channels; the image at "
                f"{self._uri!r} has {self.nchannels}. All levels must share the "
                "channel count."
            )
            raise ArgumentError(msg)
        return sizes

    def _register(self, level: Level, member: Member) -> None:
        self._members[level.key] = member
        self._metadata.put(LEVEL_PREFIX + level.key, shape_to_json(level.shape))
        self._levels = sort_levels([*self._levels, level])

    # Levels

    @property
    def level_count(self) -> int:
        """Number of levels."""
        return len(self._levels)

    def levels(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Return address and shape of every level by key, finest first."""
        return {
            level.key: (self._level_uri(level.key), level.shape)
            for level in self._levels
        }

    def level_shape(self, level: int | str) -> tuple[int, ...]:
        """Return the shape of a level, data axis order.

        Parameters
        ----------
        level : int or str
            Index (0 is the finest, negative from the coarsest) or key.

        Raises
        ------
        LevelIndexError, LevelKeyError, ArgumentTypeError
            If there is no such level.
        """
        return self._level(level).shape

    def level_uri(self, level: int | str) -> str:
        """Return the absolute address of a level; see `level_shape`."""
        return self._level_uri(self._level(level).key)

    def level_array(self, level: int | str) -> LevelArray:
        """Return a lazy view of a level: indexing composes, ``np.asarray`` reads.

        It stays usable after the image is closed.
        """
        self._verify_open("read a level of")
        return LevelArray(
            normalize_uri(self._members[self._level(level).key].uri),
            context=self._context,
            timestamp_ms=self._timestamp_ms,
        )

    def get_transform_from_level(self, level: int | str) -> ScaleTransform:
        """Return the transform from a level's pixels to the reference level's.

        Scale factors are reference size over level size per axis, coordinate axis
        order; see `level_shape` for `level`.
        """
        return self._level_transform(level, to_level=False)

    def get_transform_to_level(self, level: int | str) -> ScaleTransform:
        """Return the transform from the reference level's pixels to a level's.

        Scale factors are level size over reference size per axis, coordinate axis
        order; see `level_shape` for `level`.
        """
        return self._level_transform(level, to_level=True)

    def _level_transform(self, level: int | str, *, to_level: bool) -> ScaleTransform:
        axes = self._space.axis_names
        found, reference = self._level(level), self._level(0)
        if level == 0 or level == reference.key:
            return IdentityTransform(axes, axes)
        pair = [spatial_shape(item.shape, self._schema) for item in (found, reference)]
        top, bottom = pair if to_level else pair[::-1]
        factors = [a / b for a, b in zip(top, bottom, strict=True)]
        return ScaleTransform(axes, axes, factors)

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
        self._verify_open("read")
        if self._mode != "r":
            raise self._wrong_mode("read", "r")
        reverse = check_result_order(result_order)
        if data_axis_order is not None:
            check_axis_order(data_axis_order, self.data_axis_order)
        if channel_coords is not None and not self.has_channel_axis:
            msg = (
                f"channel_coords given, but the image at {self._uri!r} has no channels"
            )
            raise ArgumentError(msg)
        to_region, space = resolve_region_space(
            self._space,
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
            self._schema,
            self._uri,
        )
        block = array._read_box(plan.start, plan.stop)
        if plan.channels is not None:
            block = block.take(plan.channels, axis=channel_position(self._schema))
        block = arrange(block, self.data_axis_order, data_axis_order)
        return SpatialRead(
            block.T if reverse else block, self._space, space, plan.transform
        )

    # Attributes

    @property
    def uri(self) -> str:
        """Address as it was given."""
        return self._uri

    @property
    def context(self) -> SOMATileDBContext:
        """TileDB configuration it was opened with."""
        return self._context

    @property
    def metadata(self) -> Metadata:
        """Metadata of the image; changes are written by `close`."""
        return self._metadata

    @property
    def mode(self) -> OpenMode:
        """Mode it was opened in: ``"r"``, ``"w"`` or ``"d"``."""
        return self._mode

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    @property
    def soma_type(self) -> str:
        """``"SOMAMultiscaleImage"``."""
        return IMAGE_TYPE

    @property
    def tiledb_timestamp_ms(self) -> int:
        """Time it was opened at, in ms since 1970-01-01 UTC."""
        return self._timestamp_ms

    @property
    def tiledb_timestamp(self) -> datetime.datetime:
        """Time it was opened at, UTC."""
        return ms_to_datetime(self._timestamp_ms)

    @property
    def coordinate_space(self) -> CoordinateSpace:
        """Space of the image; units can be changed, axis names cannot."""
        return self._space

    @coordinate_space.setter
    def coordinate_space(self, value: CoordinateSpace) -> None:
        if not isinstance(value, CoordinateSpace):
            msg = f"coordinate_space must be a CoordinateSpace, got {value!r}"
            raise ArgumentTypeError(msg)
        if value.axis_names != self._space.axis_names:
            msg = (
                f"The axes of the image at {self._uri!r} are {self._space.axis_names} "
                f"and cannot be changed to {value.axis_names}; only units can"
            )
            raise ArgumentError(msg)
        self._verify_write("change the coordinate space of")
        self._metadata.put(COORDINATE_SPACE, coordinate_space_to_json(value))
        self._space = value

    @property
    def data_axis_order(self) -> tuple[str, ...]:
        """Names of the stored axes in order, the channel as ``"soma_channel"``."""
        names = (*self._space.axis_names, CHANNEL_AXIS)
        return tuple(names[i] for i in self._schema.data_axis_permutation)

    @property
    def has_channel_axis(self) -> bool:
        """Whether one stored axis is the channel."""
        return self._schema.has_channel_axis

    @property
    def nchannels(self) -> int:
        """Number of channels; 1 without a channel axis.

        Raises
        ------
        LevelIndexError
            If the image has a channel axis but no level.
        """
        if not self.has_channel_axis:
            return 1
        return channel_count(self._level(0).shape, self._schema)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type of all levels."""
        return self._schema.dtype

    def members_outside(self) -> dict[str, str]:
        """Return key and address of the levels stored outside the image's folder.

        Links are followed. Images that others made can point anywhere, and opening
        such a level reads there with the user's rights.
        """
        outside = {}
        for key, member in self._members.items():
            if is_local(member.uri) and is_local(self._address):
                root = os.path.realpath(self._address)
                path = os.path.realpath(local_path(member.uri))
                inside = path.startswith(root + os.sep)
            else:
                inside = member.uri.startswith(self._address + "/")
            if not inside:
                outside[key] = member.uri
        return outside

    def __repr__(self) -> str:
        state = "CLOSED" if self._closed else "open"
        return f"<{type(self).__name__} {self._uri!r} ({state} for {self._mode!r})>"

    __hash__ = object.__hash__
    __eq__ = object.__eq__

    # Guards and look-ups

    def verify_open_for_writing(self) -> None:
        """Do nothing if the image is open for writing.

        Raises
        ------
        ModeError
            If it is closed or open in another mode.
        """
        self._verify_write("write to")

    def _verify_open(self, action: str) -> None:
        if self._closed:
            msg = f"Cannot {action} {self._uri!r}: it is closed; open it again"
            raise ModeError(msg)

    def _verify_write(self, action: str) -> None:
        self._verify_open(action)
        if self._mode != "w":
            raise self._wrong_mode(action, "w")

    def _wrong_mode(self, action: str, mode: str) -> ModeError:
        return ModeError(
            f"Cannot {action} {self._uri!r}: it is open in mode {self._mode!r}; open "
            f"it with mode={mode!r}"
        )

    def _guard_metadata(self, access: Literal["read", "write"]) -> None:
        if access == "write":
            self._verify_write("change metadata of")
        else:
            self._verify_open("read metadata of")

    def _level(self, level: int | str) -> Level:
        return self._levels[resolve_level(level, self._levels, self._uri)]

    def _level_uri(self, key: str) -> str:
        uri = self._members[key].uri
        return f"file://{uri}" if uri.startswith("/") else uri

    def _no_level(self, key: object) -> LevelKeyError:
        names = ", ".join(map(repr, self._members)) or "none"
        return LevelKeyError(
            f"No level {key!r} in the image at {self._uri!r}; its levels are {names}"
        )
