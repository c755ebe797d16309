"""What is to be written as a new image or scene, and the plan of it: no pixel is read.

Levels that are given are copied as they are. Levels that are made besides come from the
finest one, in the same pass if their shapes nest, so that it is read only once.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from ..errors import ArgumentError, ArgumentTypeError
from ..storage import CHANNEL_AXIS, describe_layout
from ._downsample import METHODS, Method
from ._given_levels import check_given
from ._level_facts import ImageFacts
from ._level_names import new_keys
from ._level_passes import PassRequest, plan_passes
from ._level_plan import LevelPlan, PlannedLevel, bytes_in_words
from ._level_planning import complete_plan
from ._level_wishes import DEFAULT_FACTOR, StepWish, missing_shapes
from ._levels import request_of
from ._pixel_source import PixelSource, chunks_of, n_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from ..coordinates import CoordinateSpace, CoordinateTransform
    from ._level_shapes import Shape

#: Extents that read alike (see `choose_extents`), and some more where a source's own
#: blocks fit no others.
_EXTENTS: Final = range(192, 769)
_BEST_EXTENT: Final = 512
#: What the blocks of a source may take, in memory, to be computed only once.
_MOST_BYTES: Final = 224 * 2**20
#: More of them where that is not enough: large blocks need memory anyway.
_CHUNKS_AT_A_TIME: Final = 6


@dataclasses.dataclass(frozen=True, slots=True)
class ImageToWrite:
    """An image that is to be written; arrays in data axis order, finest first."""

    levels: tuple[PixelSource, ...]
    """Pixels of its levels: anything with ``shape``, ``dtype`` and box indexing."""
    coordinate_space: CoordinateSpace
    """Spatial axes with units."""
    data_axis_order: tuple[str, ...]
    """Axis names of the arrays, the channel axis as ``soma_channel``."""
    level_keys: tuple[str, ...] | None = None
    """Default is ``level0``, ``level1`` and so on."""
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Entries for the image's metadata."""
    platform_config: Any = None
    """Tile extents and filters, as for `MultiscaleImage.create`."""
    more_levels: bool = True
    """Whether to make levels below the coarsest one, until the longest displayed side
    is at most `max_side`."""
    method: Method = "mean"
    """How their pixels are combined, see `plan_levels`."""
    max_side: int | None = None
    """Pixels; 512 by default."""


@dataclasses.dataclass(frozen=True, slots=True)
class SceneToWrite:
    """A scene with images in its collection ``img``."""

    coordinate_space: CoordinateSpace
    """Axes of the scene with units."""
    images: Mapping[str, ImageToWrite]
    """By name in the collection."""
    transforms: Mapping[str, CoordinateTransform]
    """From the scene to the pixels of the image's finest level, by name."""
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Entries for the scene's metadata."""


@dataclasses.dataclass(frozen=True, slots=True)
class LevelsStep:
    """Levels that one source is read for."""

    plan: LevelPlan
    """The levels, the copy of the source first if it is not stored yet."""
    request: PassRequest
    """What its passes depend on."""
    source: int | None
    """Index of the given level that is read; None: the finest one, as it is stored."""

    @property
    def nbytes(self) -> int:
        """Bytes that the step passes over."""
        n_passes = len(plan_passes(self.request))
        return n_bytes(self.plan.source_shape, self.plan.dtype) * n_passes


@dataclasses.dataclass(frozen=True, slots=True)
class ImagePlan:
    """Everything about one image to be written that is known without its pixels."""

    axis_names: tuple[str, ...]
    """Data axis order, the channel axis as ``soma_channel``."""
    dtype: np.dtype[Any]
    """Pixel type as stored, native byte order."""
    levels: tuple[PlannedLevel, ...]
    """All levels, finest first."""
    n_given: int
    """How many of them are copied; the others are made."""
    steps: tuple[LevelsStep, ...]
    """What is done, in this order."""

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels, uncompressed: the most that it can take on disk."""
        return sum(level.nbytes for level in self.levels)

    @property
    def channel_axis(self) -> int | None:
        """Position of the channel axis."""
        names = self.axis_names
        return names.index(CHANNEL_AXIS) if CHANNEL_AXIS in names else None


@dataclasses.dataclass(frozen=True, slots=True)
class StorePlan:
    """What writing an image or a scene takes; ``print(plan)`` shows it as a table."""

    images: Mapping[str, ImagePlan]
    """By name in the scene; an image by itself has the name ``""``."""

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels, uncompressed: the most that it can take on disk."""
        return sum(image.nbytes for image in self.images.values())

    @property
    def peak_bytes(self) -> int:
        """Memory that the run takes at most, estimated, on top of what is in use."""
        steps = [step for image in self.images.values() for step in image.steps]
        return max(step.plan.peak_bytes for step in steps)

    def __str__(self) -> str:
        lines = []
        for name, image in self.images.items():
            title = f"Image {name!r}, " if name else "Image, "
            lines.append(f"{title}axes {', '.join(image.axis_names)}, {image.dtype}:")
            for number, level in enumerate(image.levels):
                how = "" if number < image.n_given else "  made"
                lines.append(
                    f"  {level.key}  {' x '.join(map(str, level.shape))}  "
                    f"tiles {' x '.join(map(str, level.tile_extents))}  "
                    f"{bytes_in_words(level.nbytes)}{how}"
                )
        lines.append(
            f"In all at most {bytes_in_words(self.nbytes)} on disk; about "
            f"{bytes_in_words(self.peak_bytes)} of memory."
        )
        return "\n".join(lines)


def plan_store(what: ImageToWrite | SceneToWrite) -> StorePlan:
    """Plan the writing of an image or a scene; reads no pixels.

    Parameters
    ----------
    what : ImageToWrite or SceneToWrite
        What is to be written.

    Raises
    ------
    ArgumentError
        If levels do not shrink, differ in channels or number of axes, or names do not
        fit.
    ArgumentTypeError
        If a level is not array-like, dtypes differ, or an image cannot hold the dtype.
    """
    if isinstance(what, ImageToWrite):
        return StorePlan({"": _plan_image(what)})
    if not isinstance(what, SceneToWrite):
        msg = (
            f"what must be an ImageToWrite or a SceneToWrite, got {type(what).__name__}"
        )
        raise ArgumentTypeError(msg)
    if not what.images:
        msg = "A scene to be written needs at least one image, got none."
        raise ArgumentError(msg)
    if missing := sorted(set(what.transforms) - set(what.images)):
        msg = (
            f"There is a transform for {missing[0]!r}, but no image of that name; the "
            f"images are {', '.join(map(repr, what.images))}."
        )
        raise ArgumentError(msg)
    return StorePlan({n: _plan_named(n, one) for n, one in what.images.items()})


def _plan_named(name: str, image: ImageToWrite) -> ImagePlan:
    """Plan one of several images; messages say which."""
    try:
        return _plan_image(image)
    except (ArgumentError, ArgumentTypeError) as err:
        msg = f"Image {name!r}: {err}"
        raise type(err)(msg) from err


def _plan_image(image: ImageToWrite) -> ImagePlan:
    has_channel = CHANNEL_AXIS in image.data_axis_order
    checked = check_given(
        image.levels,
        coordinate_space=image.coordinate_space,
        data_axis_order=image.data_axis_order,
        has_channel_axis=has_channel,
        level_keys=image.level_keys,
    )
    if image.method not in METHODS:
        msg = f"method must be one of {', '.join(METHODS)}, got {image.method!r}"
        raise ArgumentError(msg)
    given = list(zip(checked.keys, checked.shapes, strict=True))
    planner = _ImagePlanner(image, checked.dtype, given)
    return planner.plan()


class _ImagePlanner:
    def __init__(
        self,
        image: ImageToWrite,
        dtype: np.dtype[Any],
        given: list[tuple[str, Shape]],
    ) -> None:
        self._image = image
        self._dtype = dtype
        self._given = given

    def plan(self) -> ImagePlan:
        finest, more = self._given[0], self._more()
        steps = []
        fused = self._step(0, [finest, *more])
        if len(plan_passes(fused.request)) == 1:
            steps.append(fused)
        else:
            steps.append(self._step(0, [finest]))
            steps.append(self._stored_step(steps[0].plan.levels[0], more))
        steps[1:1] = [
            self._step(number, [level])
            for number, level in enumerate(self._given)
            if number
        ]
        levels = [level for step in steps for level in step.plan.levels]
        order = [key for key, _ in (*self._given, *more)]
        levels.sort(key=lambda level: order.index(level.key))
        return ImagePlan(
            axis_names=self._image.data_axis_order,
            dtype=self._dtype,
            levels=tuple(levels),
            n_given=len(self._given),
            steps=tuple(steps),
        )

    def _more(self) -> list[tuple[str, Shape]]:
        """Return keys and shapes of the levels to be made besides, finest first."""
        facts = self._facts(self._given, self._given[0][1])
        if not self._image.more_levels or all(
            facts.source[axis] == 1 for axis in facts.spatial_axes
        ):
            return []
        wish = StepWish(
            DEFAULT_FACTOR, self._image.max_side, None, between=False, replace=False
        )
        shapes = missing_shapes(facts, wish)
        keys = new_keys([key for key, _ in self._given], len(shapes))
        return list(zip(keys, shapes, strict=True))

    def _facts(
        self, levels: Sequence[tuple[str, Shape]], source_extents: Shape
    ) -> ImageFacts:
        order = self._image.data_axis_order
        displayed = self._image.coordinate_space.axis_names[:2]
        return ImageFacts(
            uri="the image to be written",
            axis_names=order,
            displayed_axes=tuple(order.index(name) for name in displayed),
            dtype=self._dtype,
            levels=tuple(levels),
            source_extents=source_extents,
        )

    def _step(self, number: int, levels: list[tuple[str, Shape]]) -> LevelsStep:
        """Return the step that copies a given level, and makes others from it."""
        shape = levels[0][1]
        chunks = chunks_of(self._image.levels[number])
        facts = self._facts([("", shape)], chunks or (1,) * len(shape))
        extents = {}
        if chunks is not None:
            extents[levels[0][0]] = self._extents(facts, shape, chunks)
        most = max(_MOST_BYTES, _CHUNKS_AT_A_TIME * n_bytes(chunks or (), self._dtype))
        for is_whole in (chunks is not None, False):
            plan = complete_plan(
                facts,
                levels,
                self._image.method,
                None,
                self._image.platform_config,
                extents_of=extents,
                keeps_tiles_whole=is_whole,
            )
            if plan.peak_bytes <= most:
                break
        request = dataclasses.replace(request_of(plan), keeps_tiles_whole=is_whole)
        return LevelsStep(plan, request, number)

    def _stored_step(
        self, finest: PlannedLevel, more: list[tuple[str, Shape]]
    ) -> LevelsStep:
        """Return the step that makes levels from the finest one, once it is stored."""
        facts = self._facts([(finest.key, finest.shape)], finest.tile_extents)
        plan = complete_plan(
            facts, more, self._image.method, None, self._image.platform_config
        )
        return LevelsStep(plan, request_of(plan), source=None)

    def _extents(self, facts: ImageFacts, shape: Shape, chunks: Shape) -> Shape:
        """Return tile extents that divide the chunks of a source where that goes."""
        extents, _ = describe_layout(
            shape, self._dtype, facts.channel_axis, self._image.platform_config
        )
        fitting = list(extents)
        for axis in facts.spatial_axes[-2:]:
            fitting[axis] = _dividing(chunks[axis], shape[axis]) or extents[axis]
        return tuple(fitting)


def _dividing(chunk: int, size: int) -> int | None:
    """Return a tile extent that divides a chunk's size, or is a multiple of it."""
    if size <= _EXTENTS[-1]:
        return None
    if chunk < _EXTENTS[0]:
        return chunk * max(1, round(_BEST_EXTENT / chunk))
    divisors = (n for n in _EXTENTS if min(chunk, size) % n == 0)
    return min(divisors, key=lambda n: abs(n - _BEST_EXTENT), default=None)
