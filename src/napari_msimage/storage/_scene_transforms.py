"""The transforms of a scene: from its coordinate space to its elements, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..coordinates import CoordinateSpace
from ..errors import ArgumentError, ArgumentTypeError, MemberKeyError, UnsupportedError
from ._collection import Collection
from ._collection_state import SceneState
from ._member_open import member_entries
from ._metadata import read_coordinate_space
from ._multiscale_image import MultiscaleImage
from ._scene_registry import (
    check_ends_in,
    check_fits,
    check_to_element,
    get_transform,
    put_transform,
)
from ._soma_types import GEOMETRY_TYPE, POINT_CLOUD_TYPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..coordinates import CoordinateTransform


class SceneTransforms(Collection):
    """What a `Scene` does with the transforms to its images and dataframes."""

    __slots__ = ()

    _state: SceneState
    _state_class = SceneState

    # Images

    def set_transform_to_multiscale_image(
        self,
        key: str,
        subcollection: str | Sequence[str] = "img",
        *,
        transform: CoordinateTransform,
        coordinate_space: CoordinateSpace | None = None,
    ) -> MultiscaleImage:
        """Register the transform from the scene to an image.

        Written when the scene is closed.

        Parameters
        ----------
        key : str
            Key of the image.
        subcollection : str or sequence of str
            Key of the collection that holds it, or the keys that lead to it.
        transform : AffineTransform
            Or one of its special cases: from the scene's coordinate space to the
            image's, whose unit is a pixel of the reference level.
        coordinate_space : CoordinateSpace, optional
            New coordinate space of the image: same axis names, other units.

        Returns
        -------
        MultiscaleImage
            The image, open for writing.

        Raises
        ------
        MemberKeyError
            If there is no such collection or image.
        ArgumentTypeError
            If it is not an image, or an argument has the wrong type.
        ArgumentError
            If the scene has no coordinate space, axis names do not fit, or a number
            is not finite.
        ModeError
            If the scene is not open for writing.
        """
        state = self._state
        state.verify_mode("register a transform in", "w")
        checked = check_to_element(state, transform)
        holder = self._holder(subcollection)
        image = _image_in(holder, key)
        if coordinate_space is None:
            space = image.coordinate_space
            check_ends_in(checked, space.axis_names, f"the image {key!r}")
        else:
            space = _check_space(coordinate_space)
            check_ends_in(checked, space.axis_names, "coordinate_space")
            image.coordinate_space = space
        put_transform(holder._state, key, checked)
        return image

    def get_transform_to_multiscale_image(
        self,
        key: str,
        subcollection: str | Sequence[str] = "img",
        *,
        level: str | int | None = None,
    ) -> CoordinateTransform:
        """Return the transform from the scene to an image, or to one of its levels.

        Parameters
        ----------
        key : str
            Key of the image.
        subcollection : str or sequence of str
            Key of the collection that holds it, or the keys that lead to it.
        level : str or int, optional
            Key or index of a level, to whose pixels the transform leads; by default
            to the image's coordinate space, which is the reference level's pixels.

        Raises
        ------
        MemberKeyError
            If there is no such collection or image, or no transform to it.
        LevelKeyError, LevelIndexError, ArgumentTypeError
            If there is no such level, or it is no image.
        FormatError
            If the stored transform is damaged.
        """
        holder = self._holder(subcollection)
        transform = get_transform(holder._state, key)
        if level is None:
            return transform
        image = _image_in(holder, key)
        check_fits(transform, image.coordinate_space, key, holder.uri)
        return image.get_transform_to_level(level) @ transform

    def get_transform_from_multiscale_image(
        self,
        key: str,
        subcollection: str | Sequence[str] = "img",
        *,
        level: str | int | None = None,
    ) -> CoordinateTransform:
        """Return the transform from an image, or from one of its levels, to the scene.

        See `get_transform_to_multiscale_image`, of whose result it is the inverse.

        Raises
        ------
        ArgumentError
            If the transform cannot be inverted.
        MemberKeyError, LevelKeyError, LevelIndexError, ArgumentTypeError, FormatError
            As for `get_transform_to_multiscale_image`.
        """
        holder = self._holder(subcollection)
        transform = get_transform(holder._state, key)
        inverse = transform.inverse_transform()
        if level is None:
            return inverse
        image = _image_in(holder, key)
        check_fits(transform, image.coordinate_space, key, holder.uri)
        return inverse @ image.get_transform_from_level(level)

    # Dataframes

    def set_transform_to_point_cloud_dataframe(
        self,
        key: str,
        subcollection: str | Sequence[str] = "obsl",
        *,
        transform: CoordinateTransform,
        coordinate_space: CoordinateSpace | None = None,
    ) -> None:
        """Register the transform from the scene to a point cloud.

        Parameters
        ----------
        key : str
            Key of the point cloud.
        subcollection : str or sequence of str
            Key of the collection that holds it, or the keys that lead to it.
        transform : AffineTransform
            From the scene's coordinate space to the point cloud's.
        coordinate_space : None
            Not supported: the dataframe itself is not changed.

        Raises
        ------
        UnsupportedError
            If `coordinate_space` is given.
        MemberKeyError, ArgumentError, ArgumentTypeError, ModeError
            As for `set_transform_to_multiscale_image`.

        Notes
        -----
        tiledbsoma 2.3 returns the dataframe; this package does not open dataframes.
        """
        self._set_to_dataframe(
            key, subcollection, transform, coordinate_space, POINT_CLOUD_TYPE
        )

    def get_transform_to_point_cloud_dataframe(
        self, key: str, subcollection: str = "obsl"
    ) -> CoordinateTransform:
        """Return the transform from the scene to a point cloud.

        Raises
        ------
        MemberKeyError, FormatError
            As for `get_transform_to_multiscale_image`.
        """
        return get_transform(self._holder(subcollection)._state, key)

    def get_transform_from_point_cloud_dataframe(
        self, key: str, subcollection: str = "obsl"
    ) -> CoordinateTransform:
        """Return the transform from a point cloud to the scene.

        Raises
        ------
        ArgumentError
            If the transform cannot be inverted.
        MemberKeyError, FormatError
            As for `get_transform_to_multiscale_image`.
        """
        return get_transform(
            self._holder(subcollection)._state, key
        ).inverse_transform()

    def set_transform_to_geometry_dataframe(
        self,
        key: str,
        subcollection: str | Sequence[str] = "obsl",
        *,
        transform: CoordinateTransform,
        coordinate_space: CoordinateSpace | None = None,
    ) -> None:
        """Register the transform from the scene to a dataframe of geometries.

        See `set_transform_to_point_cloud_dataframe`.

        Raises
        ------
        UnsupportedError, MemberKeyError, ArgumentError, ArgumentTypeError, ModeError
            As for `set_transform_to_point_cloud_dataframe`.
        """
        self._set_to_dataframe(
            key, subcollection, transform, coordinate_space, GEOMETRY_TYPE
        )

    def get_transform_to_geometry_dataframe(
        self, key: str, subcollection: str | Sequence[str] = "obsl"
    ) -> CoordinateTransform:
        """Return the transform from the scene to a dataframe of geometries.

        Raises
        ------
        MemberKeyError, FormatError
            As for `get_transform_to_multiscale_image`.
        """
        return get_transform(self._holder(subcollection)._state, key)

    def get_transform_from_geometry_dataframe(
        self, key: str, subcollection: str | Sequence[str] = "obsl"
    ) -> CoordinateTransform:
        """Return the transform from a dataframe of geometries to the scene.

        Raises
        ------
        ArgumentError
            If the transform cannot be inverted.
        MemberKeyError, FormatError
            As for `get_transform_to_multiscale_image`.
        """
        return get_transform(
            self._holder(subcollection)._state, key
        ).inverse_transform()

    def _set_to_dataframe(
        self,
        key: str,
        subcollection: str | Sequence[str],
        transform: CoordinateTransform,
        coordinate_space: CoordinateSpace | None,
        expected: str,
    ) -> None:
        self._state.verify_mode("register a transform in", "w")
        checked = check_to_element(self._state, transform)
        if coordinate_space is not None:
            msg = (
                "This package does not change dataframes; set the coordinate space of "
                f"{key!r} with tiledbsoma, or leave coordinate_space out"
            )
            raise UnsupportedError(msg)
        holder = self._holder(subcollection)
        found = holder.member_type(key)
        if found != expected:
            msg = f"{key!r} in the collection at {holder.uri!r} is a {found!r}, not a "
            raise ArgumentTypeError(f"{msg}{expected!r}")
        space = read_coordinate_space(
            member_entries(holder._state, key), holder._state.member_uri(key)
        )
        check_ends_in(checked, space.axis_names, f"the dataframe {key!r}")
        put_transform(holder._state, key, checked)

    # Collections in the scene

    def _holder(self, subcollection: str | Sequence[str]) -> Collection:
        """Return the collection at a key, or at the end of keys, within the scene."""
        self._state.verify_open("look into")
        keys = _keys(subcollection)
        if not keys:
            msg = "subcollection is empty; expected the key of a collection, as 'img'"
            raise ArgumentError(msg)
        holder: Collection = self
        for key in keys:
            if key not in holder:
                msg = f"{holder._no_member(key)}; make it with add_new_collection"
                raise MemberKeyError(msg)
            found = holder[key]
            if not isinstance(found, Collection):
                msg = (
                    f"The member {key!r} of {holder.uri!r} is a {found.soma_type!r}, "
                    "not a collection that could hold an element of the scene"
                )
                raise ArgumentTypeError(msg)
            holder = found
        return holder


def _keys(subcollection: Any) -> tuple[str, ...]:
    if isinstance(subcollection, str):
        return (subcollection,)
    keys = tuple(subcollection) if isinstance(subcollection, Iterable) else None
    if keys is None or not all(isinstance(key, str) for key in keys):
        msg = (
            f"subcollection must be a key or a sequence of keys, got {subcollection!r}"
        )
        raise ArgumentTypeError(msg)
    return keys


def _image_in(holder: Collection, key: str) -> MultiscaleImage:
    """Return an image of a collection."""
    found = holder[key]
    if not isinstance(found, MultiscaleImage):
        msg = (
            f"{key!r} in the collection at {holder.uri!r} is a {found.soma_type!r}, "
            "not an image"
        )
        raise ArgumentTypeError(msg)
    return found


def _check_space(value: object) -> CoordinateSpace:
    if not isinstance(value, CoordinateSpace):
        msg = f"coordinate_space must be a CoordinateSpace, got {value!r}"
        raise ArgumentTypeError(msg)
    return value
