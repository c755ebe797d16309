"""What an open image says of itself; all of it still answers when it is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..coordinates import IdentityTransform, ScaleTransform
from ._image_levels import channel_count, resolve_level, spatial_shape
from ._metadata import CHANNEL_AXIS
from ._soma_group import SOMAGroup
from ._soma_types import IMAGE_TYPE

if TYPE_CHECKING:
    import numpy as np

    from ..coordinates import CoordinateSpace
    from ._image_levels import Level
    from ._image_state import ImageState


class ImageDescription(SOMAGroup):
    """Getters of a `MultiscaleImage`: attributes, levels and their transforms."""

    __slots__ = ()

    _state: ImageState

    # Levels

    @property
    def level_count(self) -> int:
        """Number of levels."""
        return len(self._state.levels)

    def levels(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Return address and shape of every level by key, finest first."""
        return {
            level.key: (self._state.member_uri(level.key), level.shape)
            for level in self._state.levels
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
        return self._state.member_uri(self._level(level).key)

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
        axes = self._state.space.axis_names
        found, reference = self._level(level), self._level(0)
        if level == 0 or level == reference.key:
            return IdentityTransform(axes, axes)
        pair = [
            spatial_shape(item.shape, self._state.schema) for item in (found, reference)
        ]
        top, bottom = pair if to_level else pair[::-1]
        factors = [a / b for a, b in zip(top, bottom, strict=True)]
        return ScaleTransform(axes, axes, factors)

    # Attributes

    @property
    def soma_type(self) -> str:
        """``"SOMAMultiscaleImage"``."""
        return IMAGE_TYPE

    @property
    def coordinate_space(self) -> CoordinateSpace:
        """Space of the image; units can be changed, axis names cannot."""
        return self._state.space

    @property
    def data_axis_order(self) -> tuple[str, ...]:
        """Names of the stored axes in order, the channel as ``"soma_channel"``."""
        names = (*self._state.space.axis_names, CHANNEL_AXIS)
        return tuple(names[i] for i in self._state.schema.data_axis_permutation)

    @property
    def has_channel_axis(self) -> bool:
        """Whether one stored axis is the channel."""
        return self._state.schema.has_channel_axis

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
        return channel_count(self._level(0).shape, self._state.schema)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type of all levels."""
        return self._state.schema.dtype

    def _level(self, level: int | str) -> Level:
        state = self._state
        return state.levels[resolve_level(level, state.levels, state.uri)]
