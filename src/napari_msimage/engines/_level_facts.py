"""What the plan of new levels asks of an image."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, ArgumentTypeError
from ..storage import CHANNEL_AXIS, DenseNDArray, MultiscaleImage

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from ..storage import SOMATileDBContext
    from ._level_shapes import Shape


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the plan asks of an image."""

    uri: str
    """Address as it was given."""
    axis_names: tuple[str, ...]
    """Data axis order, the channel as ``soma_channel``."""
    displayed_axes: tuple[int, ...]
    """Positions of the axes that a viewer shows first."""
    dtype: np.dtype[Any]
    """Pixel type."""
    levels: tuple[tuple[str, Shape], ...]
    """Keys and shapes, finest first."""
    source_extents: Shape
    """Tile extents of the finest level."""

    @property
    def channel_axis(self) -> int | None:
        names = self.axis_names
        return names.index(CHANNEL_AXIS) if CHANNEL_AXIS in names else None

    @property
    def spatial_axes(self) -> list[int]:
        return [i for i, name in enumerate(self.axis_names) if name != CHANNEL_AXIS]

    @property
    def source(self) -> Shape:
        return self.levels[0][1]

    @property
    def shapes(self) -> list[Shape]:
        return [shape for _, shape in self.levels]


@contextlib.contextmanager
def opened(
    image: MultiscaleImage | str | os.PathLike[str],
    context: SOMATileDBContext | None,
) -> Iterator[MultiscaleImage]:
    """Lend an image for reading: the one given, or the one at an address.

    Raises
    ------
    ArgumentTypeError
        If it is neither.
    """
    if isinstance(image, MultiscaleImage):
        yield image
        return
    if not isinstance(image, str | os.PathLike):
        msg = (
            "image must be an open MultiscaleImage or an address (str or path), got "
            f"{type(image).__name__}"
        )
        raise ArgumentTypeError(msg)
    with MultiscaleImage.open(os.fspath(image), context=context) as found:
        yield found


def facts_of(image: MultiscaleImage) -> ImageFacts:
    if not image.level_count:
        msg = (
            f"The image at {image.uri!r} has no levels; write its finest level first, "
            "the others are made from it."
        )
        raise ArgumentError(msg)
    order = image.data_axis_order
    displayed = image.coordinate_space.axis_names[:2]
    return ImageFacts(
        uri=image.uri,
        axis_names=order,
        displayed_axes=tuple(order.index(name) for name in displayed),
        dtype=image.dtype,
        levels=tuple((key, shape) for key, (_, shape) in image.levels().items()),
        source_extents=_source_extents(image),
    )


def _source_extents(image: MultiscaleImage) -> Shape:
    """Return the tile extents of the finest level; its schema is read, no pixels."""
    with DenseNDArray.open(image.level_uri(0), context=image.context) as level:
        return level.schema.tile_extents
