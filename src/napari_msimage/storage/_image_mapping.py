"""The levels of an image as a mapping of keys to arrays, with adding and removing."""

from __future__ import annotations

import warnings
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Self

from ..errors import ArgumentError, ArgumentTypeError, LevelKeyError
from ._dense_array import DenseNDArray
from ._image_description import ImageDescription
from ._image_levels import Level, channel_position
from ._image_members import check_new_level
from ._layout import plan_layout
from ._level_places import check_level_uri, place_level
from ._member_places import member_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class ImageMapping(ImageDescription, MutableMapping[str, DenseNDArray]):
    """What a `MultiscaleImage` does as a mapping of level keys to arrays.

    Changes of the image itself are written when it is closed.
    """

    __slots__ = ()

    def __getitem__(self, key: str) -> DenseNDArray:
        """Return the array of a level, open in the image's mode.

        The same object as long as somebody keeps it. It keeps the image alive, and is
        closed with it.

        Raises
        ------
        LevelKeyError
            If there is no such level.
        ModeError
            If the image is closed.
        FormatError
            If the array does not fit what the image says of it.
        """
        self._state.verify_open("open a level of")
        if key not in self._state.members:
            raise self._no_level(key)
        state = self._state.array(key, stacklevel=2)
        return self._child(key, state, DenseNDArray)  # type: ignore[no-any-return]

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
        member = member_for(self._state.address, key, value.uri, use_relative_uri)
        self._state.add(Level(key, shape), member)
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
        check_level_uri(uri)
        dtype = self._state.schema.dtype
        layout = plan_layout(
            sizes, dtype, channel_position(self._state.schema), platform_config
        )
        self._state.verify_mode("add a level to", "w")
        with place_level(
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

    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def _no_level(self, key: object) -> LevelKeyError:
        names = ", ".join(map(repr, self)) or "none"
        return LevelKeyError(
            f"No level {key!r} in the image at {self.uri!r}; its levels are {names}"
        )
