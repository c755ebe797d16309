"""Write levels that exist as arrays as a new image, streaming, all or nothing."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..coordinates import CoordinateSpace
from ..errors import ArgumentError, ArgumentTypeError, StorageError
from ..storage import (
    CHANNEL_AXIS,
    LevelArray,
    MultiscaleImage,
    SOMATileDBContext,
    is_local,
    normalize_uri,
)
from ._blocks import plan_blocks
from ._progress import Progress
from ._staging import staged_folder

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from ..storage import DenseNDArray


class PixelSource(Protocol):
    """What a level to be written must offer: numpy, dask, zarr and our own do."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each axis, data axis order."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type."""
        ...

    def __getitem__(self, key: tuple[slice, ...], /) -> Any:
        """Return the pixels of a box as something ``np.asarray`` understands."""
        ...


@dataclass(frozen=True, slots=True)
class ImageWritePlan:
    """Everything about an image to be written that is known without its pixels."""

    keys: tuple[str, ...]
    """Level keys, finest first."""
    shapes: tuple[tuple[int, ...], ...]
    """Level shapes, data axis order, finest first."""
    dtype: np.dtype[Any]
    """Pixel type as stored, native byte order."""
    coordinate_space: CoordinateSpace
    """Spatial axes with units."""
    data_axis_order: tuple[str, ...]
    """Axis names as stored, the channel axis as ``soma_channel``."""

    @property
    def nbytes(self) -> int:
        """Size of all pixels, uncompressed."""
        return sum(math.prod(shape) for shape in self.shapes) * self.dtype.itemsize


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
    plan = plan_image_write(
        levels,
        coordinate_space=coordinate_space,
        data_axis_order=data_axis_order,
        has_channel_axis=has_channel_axis,
        level_keys=level_keys,
    )
    # One context for all steps: what is in memory is visible within one only.
    context = context or SOMATileDBContext()
    destination = normalize_uri(uri)
    with contextlib.ExitStack() as stack:
        target = destination
        if is_local(destination):
            target = stack.enter_context(staged_folder(destination, plan.nbytes))
        yield from _write(target, plan, levels, metadata, context, platform_config)
        _verify(target, plan, context)


def plan_image_write(
    levels: Sequence[PixelSource],
    *,
    coordinate_space: CoordinateSpace | Sequence[str] = ("x", "y"),
    data_axis_order: Sequence[str] | None = None,
    has_channel_axis: bool = True,
    level_keys: Sequence[str] | None = None,
) -> ImageWritePlan:
    """Check levels against each other and against the format, without their pixels.

    Parameters and errors are those of `write_image`.
    """
    if not isinstance(coordinate_space, CoordinateSpace):
        coordinate_space = CoordinateSpace.from_axis_names(tuple(coordinate_space))
    order = _axis_order(coordinate_space, data_axis_order, has_channel_axis)
    if not levels:
        msg = "No levels given; an image needs at least one."
        raise ArgumentError(msg)
    keys = tuple(level_keys or (f"level{i}" for i in range(len(levels))))
    if len(keys) != len(levels) or len(set(keys)) != len(keys):
        msg = f"Expected {len(levels)} different level keys, got {keys!r}"
        raise ArgumentError(msg)
    shapes = [
        _source_shape(key, level) for key, level in zip(keys, levels, strict=True)
    ]
    dtype = np.dtype(levels[0].dtype).newbyteorder("=")
    if dtype.kind == "M":
        msg = f"Cannot write {dtype} pixels; convert them to int64 first."
        raise ArgumentTypeError(msg)
    for key, level in zip(keys, levels, strict=True):
        if np.dtype(level.dtype).newbyteorder("=") != dtype:
            msg = (
                f"Level {key!r} has dtype {level.dtype}, level {keys[0]!r} has "
                f"{dtype}. All levels must share one dtype."
            )
            raise ArgumentTypeError(msg)
    _check_shapes(keys, shapes, order)
    return ImageWritePlan(keys, tuple(shapes), dtype, coordinate_space, order)


def _axis_order(
    space: CoordinateSpace, order: Sequence[str] | None, has_channel_axis: bool
) -> tuple[str, ...]:
    names = (
        *((CHANNEL_AXIS,) if has_channel_axis else ()),
        *reversed(space.axis_names),
    )
    if order is None:
        return names
    if isinstance(order, str) or sorted(order) != sorted(names):
        msg = f"data_axis_order must name each of {names!r} once, got {order!r}"
        raise ArgumentError(msg)
    return tuple(order)


def _source_shape(key: str, level: PixelSource) -> tuple[int, ...]:
    missing = [a for a in ("shape", "dtype", "__getitem__") if not hasattr(level, a)]
    if missing:
        msg = (
            f"Level {key!r} must be an array; {type(level).__name__} has no "
            f"{', '.join(missing)}."
        )
        raise ArgumentTypeError(msg)
    return tuple(int(size) for size in level.shape)


def _check_shapes(
    keys: Sequence[str], shapes: Sequence[tuple[int, ...]], order: Sequence[str]
) -> None:
    axes = f"({', '.join(order)})"
    for key, shape in zip(keys, shapes, strict=True):
        if len(shape) != len(order) or min(shape) < 1:
            msg = (
                f"Level {key!r} has shape {shape}; expected {len(order)} sizes of at "
                f"least 1 for the axes {axes}."
            )
            raise ArgumentError(msg)
    channel = order.index(CHANNEL_AXIS) if CHANNEL_AXIS in order else None
    finer_levels = zip(keys, shapes, strict=True)
    for (finer_key, finer), (key, shape) in pairwise(finer_levels):
        if channel is not None and finer[channel] != shape[channel]:
            msg = (
                f"Level {key!r} has {shape[channel]} channels; level {finer_key!r} has "
                f"{finer[channel]}. All levels must share the channel count."
            )
            raise ArgumentError(msg)
        if shape == finer or any(a > b for a, b in zip(shape, finer, strict=True)):
            msg = (
                f"Level {key!r} has shape {shape}, level {finer_key!r} before it "
                f"{finer}, axes {axes}. Levels go from the finest to the coarsest: "
                "each must be smaller along one axis and larger along none."
            )
            raise ArgumentError(msg)


def _write(
    target: str,
    plan: ImageWritePlan,
    levels: Sequence[PixelSource],
    metadata: Mapping[str, Any] | None,
    context: SOMATileDBContext,
    platform_config: Any,
) -> Iterator[Progress]:
    done = 0
    yield Progress(done, plan.nbytes)
    with MultiscaleImage.create(
        target,
        type=plan.dtype,
        level_shape=plan.shapes[0],
        level_key=plan.keys[0],
        coordinate_space=plan.coordinate_space,
        data_axis_order=plan.data_axis_order,
        has_channel_axis=CHANNEL_AXIS in plan.data_axis_order,
        platform_config=platform_config,
        context=context,
    ) as image:
        image.metadata.update(metadata or {})
        # All levels first: what is wrong with a key shows before pixels are moved.
        arrays = [image[plan.keys[0]]]
        for key, shape in zip(plan.keys[1:], plan.shapes[1:], strict=True):
            arrays.append(
                image.add_new_level(key, shape=shape, platform_config=platform_config)
            )
        for index, (array, level) in enumerate(zip(arrays, levels, strict=True)):
            for nbytes in _write_level(array, level, index, plan):
                done += nbytes
                yield Progress(done, plan.nbytes)


def _write_level(
    array: DenseNDArray, level: PixelSource, index: int, plan: ImageWritePlan
) -> Iterator[int]:
    key, shape = plan.keys[index], plan.shapes[index]
    for box in plan_blocks(shape, array.schema.tile_extents, plan.dtype.itemsize):
        part = level[box]
        if isinstance(part, LevelArray):
            # Passing over it once must not push out what is on the screen.
            part = part.read(cached=False)
        pixels = np.ascontiguousarray(part, dtype=plan.dtype)
        expected = tuple(s.stop - s.start for s in box)
        if pixels.shape != expected:
            msg = (
                f"Level {key!r} gave pixels of shape {pixels.shape} for the box {box}; "
                f"expected {expected}. Is its shape {shape} right?"
            )
            raise ArgumentError(msg)
        # SOMA's slices include both ends.
        array.write([slice(s.start, s.stop - 1) for s in box], pixels)
        yield pixels.nbytes


def _verify(target: str, plan: ImageWritePlan, context: SOMATileDBContext) -> None:
    """Raise if the image on disk is not the one planned."""
    with MultiscaleImage.open(target, context=context) as image:
        got = tuple(shape for _, shape in image.levels().values())
        if got != plan.shapes or image.dtype != plan.dtype:
            msg = (
                f"The image just written at {target!r} has levels {got} of "
                f"{image.dtype}; expected {plan.shapes} of {plan.dtype}."
            )
            raise StorageError(msg)
        for key, shape in zip(plan.keys, plan.shapes, strict=True):
            domain = image[key].non_empty_domain()
            if domain != tuple((0, size - 1) for size in shape):
                msg = (
                    f"Level {key!r} just written at {target!r} is incomplete: pixels "
                    f"in {domain}, expected all of {shape}."
                )
                raise StorageError(msg)
