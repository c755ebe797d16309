"""What an export cuts up, and which part of it: both without a viewer."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError
from ..storage import CHANNEL_AXIS, LevelArray

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from ._level_shapes import Shape
    from ._pixel_source import PixelSource


@dataclasses.dataclass(frozen=True, eq=False)
class ExportSource:
    """The pixels of an image, and where they lie; arrays in data axis order.

    Image coordinates are those of the finest level: its pixel i covers [i, i + 1); a
    pixel of a coarser level covers as many of them as the ratio of the shapes says.
    """

    name: str
    """What the image is called, in file names and in messages."""
    levels: tuple[PixelSource, ...]
    """Pixels of its levels, finest first."""
    axis_names: tuple[str, ...]
    """Axes of the arrays, the channel axis as ``soma_channel``."""
    to_world: npt.NDArray[np.float64]
    """Affine matrix, (n_spatial + 1, n_spatial + 1): from image coordinates to world
    coordinates, both with the spatial axes in data axis order."""
    units: tuple[str | None, ...]
    """Of the world coordinates, per spatial axis in data axis order; None: pixels."""
    uri: str | None = None
    """Where the image is stored, if it is."""
    channel_names: tuple[str, ...] | None = None
    """One per channel."""
    channel_colors: tuple[tuple[float, float, float], ...] | None = None
    """Red, green and blue from 0 to 1, one per channel."""
    is_rgb: bool = False
    """Whether the channels are colours of one picture."""
    is_labels: bool = False
    """Whether pixels are numbers of objects, which cannot be averaged."""
    level_keys: tuple[str, ...] | None = None
    """What the levels are called, one each; default is ``level0``, ``level1``, ..."""
    coordinate_names: tuple[str, ...] | None = None
    """Spatial axes in the order in which regions of numbers give them; default is the
    reverse of the data axis order (x, y of arrays y, x)."""
    closes_levels: bool = False
    """Whether `close` closes the levels; they open again when they are read."""
    taken: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Axes of a larger image that these pixels are of, by name, and where on them."""
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Entries for the metadata of a SOMA image that is made of it, such as how it is
    to be shown."""

    def __post_init__(self) -> None:
        """Refuse what would go wrong later.

        Raises
        ------
        ArgumentError
            Says what does not fit.
        """
        if problem := self._problem():
            msg = f"The source {self.name!r} cannot be exported: {problem}."
            raise ArgumentError(msg)

    def _problem(self) -> str | None:
        if not self.levels:
            return "it has no levels"
        n_axes, n_spatial = len(self.axis_names), len(self.spatial_names)
        if len(set(self.axis_names)) != n_axes or n_axes - n_spatial > 1:
            return f"the names of its axes {self.axis_names!r} are not all different"
        for level in range(len(self.levels)):
            shape = self.shape(level)
            if len(shape) != n_axes or 0 in shape:
                return (
                    f"level {level} has the shape {shape}; expected {n_axes} axes "
                    f"{self.axis_names!r} of one pixel or more"
                )
        matrix = np.asarray(self.to_world)
        if matrix.shape != (n_spatial + 1,) * 2 or not np.isfinite(matrix).all():
            return (
                f"to_world is {matrix.tolist()}; expected finite numbers, "
                f"{n_spatial + 1} x {n_spatial + 1}"
            )
        if len(self.units) != n_spatial:
            return f"it has {len(self.units)} units for {n_spatial} spatial axes"
        axis = self.channel_axis
        n_channels = 1 if axis is None else self.shape(0)[axis]
        for what, given in (
            ("names", self.channel_names),
            ("colors", self.channel_colors),
        ):
            if given is not None and len(given) != n_channels:
                return f"it has {len(given)} channel {what} for {n_channels} channels"
        if not np.isfinite(self.channel_colors or 0.0).all():
            return f"its channel colors are {self.channel_colors!r}; expected 0 to 1"
        return None

    @property
    def channel_axis(self) -> int | None:
        """Position of the channel axis, None without one."""
        names = self.axis_names
        return names.index(CHANNEL_AXIS) if CHANNEL_AXIS in names else None

    @property
    def spatial_names(self) -> tuple[str, ...]:
        """Spatial axes, data axis order."""
        return tuple(name for name in self.axis_names if name != CHANNEL_AXIS)

    @property
    def keys(self) -> tuple[str, ...]:
        """What the levels are called."""
        return self.level_keys or tuple(f"level{i}" for i in range(len(self.levels)))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type, native byte order."""
        return np.dtype(self.levels[0].dtype).newbyteorder("=")

    def close(self) -> None:
        """Close the levels, if they were opened for this export only."""
        for level in self.levels if self.closes_levels else ():
            if isinstance(level, LevelArray):
                level.close()

    @functools.cached_property
    def _shapes(self) -> tuple[Shape, ...]:
        return tuple(tuple(int(n) for n in level.shape) for level in self.levels)

    @functools.cached_property
    def spatial_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the levels, data axis order, without the channel axis."""
        axis = self.channel_axis
        return tuple(
            tuple(n for i, n in enumerate(shape) if i != axis) for shape in self._shapes
        )

    def shape(self, level: int) -> Shape:
        """Return the shape of a level, data axis order, channel axis included."""
        return self._shapes[level]

    def spatial_shape(self, level: int) -> Shape:
        """Return the shape of a level, data axis order, without the channel axis."""
        return self.spatial_shapes[level]

    def level_to_world(self, level: int) -> npt.NDArray[np.float64]:
        """Return the affine matrix from pixels of a level to world coordinates.

        Pixel i covers [i, i + 1); spatial axes in data axis order on both sides.
        """
        factors = np.divide(self.spatial_shape(0), self.spatial_shape(level))
        return np.asarray(self.to_world, np.float64) @ np.diag([*factors, 1.0])


@dataclasses.dataclass(frozen=True, eq=False)
class ImageRegion:
    """A part of an image, in its image coordinates (see `ExportSource`)."""

    lower: tuple[float, ...]
    """Least coordinate per spatial axis, data axis order."""
    upper: tuple[float, ...]
    """Greatest coordinate per spatial axis; the region is half-open, [lower, upper)."""
    name: str = ""
    """What it is called in file names, such as the label of a shape."""
    outline: npt.NDArray[np.float64] | None = None
    """Corners of a polygon, (n, 2), in image coordinates of `outline_axes`; pixels
    outside of it are masked if that is asked for. None: the whole box."""
    outline_axes: tuple[int, int] = (0, 1)
    """Spatial axes of the two columns of `outline`."""
    properties: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Further facts that file names can have, by name: text and numbers."""
