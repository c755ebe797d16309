"""Scene: images and other spatial things on one coordinate space."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from ..coordinates import (
    CoordinateSpace,
    coordinate_space_from,
    coordinate_space_to_json,
)
from ..errors import ArgumentTypeError, MemberAttributeError
from ._collection import Collection
from ._collection_mapping import CLASSES
from ._collection_state import SceneState
from ._group_create import create_plain_group
from ._metadata import (
    COORDINATE_SPACE,
    ENCODING_VERSION,
    OBJECT_TYPE,
    SPATIAL_ENCODING_VERSION,
    SPATIAL_VERSION_WRITTEN,
    VERSION_WRITTEN,
)
from ._multiscale_image import MultiscaleImage
from ._scene_registry import check_ends_in, check_to_element, put_transform
from ._scene_transforms import SceneTransforms
from ._soma_types import SCENE_TYPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..coordinates import CoordinateTransform
    from ._context import OpenTimestamp, SOMATileDBContext
    from ._soma_object import Maker, SOMAObject

_COLLECTIONS: Final = ("img", "obsl", "varl")


class Scene(SceneTransforms):
    """Spatial data on one coordinate space: a collection with transforms.

    With the methods and attributes of ``tiledbsoma.Scene``. Images lie in the
    collection `img`, annotations of observations in `obsl`, of variables in `varl`;
    each is made with `add_new_collection`. The collection that holds an image also
    holds the transform to it, from the scene's coordinate space.

    Notes
    -----
    Differences to tiledbsoma 2.3: a transform goes with the image it leads to when
    that is removed, transforms with NaN or infinite numbers are refused, and a failed
    `add_new_multiscale_image` leaves nothing behind.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from napari_msimage import Scene, ScaleTransform
    >>> to_image = ScaleTransform(("x", "y"), ("x", "y"), [0.5, 0.5])
    >>> uri = mkdtemp() + "/slide"
    >>> pixels = {"type": "uint8", "level_shape": (3, 97, 130)}
    >>> with Scene.create(uri, coordinate_space=("x", "y")) as scene:
    ...     _ = scene.add_new_collection("img")
    ...     image = scene.add_new_multiscale_image(
    ...         "hires", "img", transform=to_image, **pixels
    ...     )
    >>> with Scene.open(uri) as scene:
    ...     scene.get_transform_from_multiscale_image("hires").scale_factors
    array([2., 2.])
    """

    __slots__ = ()

    # Lifecycle

    @classmethod
    def create(
        cls,
        uri: str,
        *,
        coordinate_space: Sequence[str] | CoordinateSpace | None = None,
        platform_config: Any = None,
        context: SOMATileDBContext | None = None,
        tiledb_timestamp: OpenTimestamp | None = None,
    ) -> Self:
        """Make an empty scene and return it open for writing.

        Parameters
        ----------
        uri : str
            Where; parent folders are made.
        coordinate_space : CoordinateSpace or sequence of str, optional
            Axes of the scene, or their names. It can be set later, and must be before
            transforms.
        platform_config : optional
            As upstream's; has no effect.
        context : SOMATileDBContext, optional
            TileDB configuration.
        tiledb_timestamp : int or datetime.datetime, optional
            Timestamp of all writes, ms since 1970-01-01 UTC; now by default.

        Raises
        ------
        ArgumentError, ArgumentTypeError
            If the coordinate space makes no sense.
        AlreadyExistsError
            If something is stored at the URI.
        """
        make = cls._prepare(
            coordinate_space=coordinate_space, platform_config=platform_config
        )
        return cls._create(uri, make, context, tiledb_timestamp)

    @classmethod
    def _prepare(
        cls,
        *,
        coordinate_space: Sequence[str] | CoordinateSpace | None = None,
        platform_config: Any = None,
    ) -> Maker:
        entries = {
            OBJECT_TYPE: SCENE_TYPE,
            ENCODING_VERSION: VERSION_WRITTEN,
            SPATIAL_ENCODING_VERSION: SPATIAL_VERSION_WRITTEN,
        }
        if coordinate_space is not None:
            space = coordinate_space_from(coordinate_space)
            entries[COORDINATE_SPACE] = coordinate_space_to_json(space)
        return functools.partial(create_plain_group, entries, "scene")

    # Attributes

    @property
    def coordinate_space(self) -> CoordinateSpace | None:
        """Space of the scene, None if not set; transforms set before are not changed.

        Setting it needs a `CoordinateSpace` (`ArgumentTypeError`) and a scene open for
        writing (`ModeError`).
        """
        return self._state.space

    @coordinate_space.setter
    def coordinate_space(self, value: CoordinateSpace) -> None:
        if not isinstance(value, CoordinateSpace):
            msg = f"coordinate_space must be a CoordinateSpace, got {value!r}"
            raise ArgumentTypeError(msg)
        self._state.verify_mode("change the coordinate space of", "w")
        self._state.metadata.put(COORDINATE_SPACE, coordinate_space_to_json(value))
        self._state.space = value

    @property
    def img(self) -> Collection:
        """Collection of images; `MemberAttributeError` if there is none."""
        return self._part("img")

    @img.setter
    def img(self, value: Collection) -> None:
        self.set("img", value)

    @property
    def obsl(self) -> Collection:
        """Collection of observation locations; `MemberAttributeError` if none."""
        return self._part("obsl")

    @obsl.setter
    def obsl(self, value: Collection) -> None:
        self.set("obsl", value)

    @property
    def varl(self) -> Collection:
        """Collection, by measurement, of collections of variable locations.

        `MemberAttributeError` if there is none.
        """
        return self._part("varl")

    @varl.setter
    def varl(self, value: Collection) -> None:
        self.set("varl", value)

    def _part(self, key: str) -> Collection:
        if key not in self:
            msg = (
                f"The scene at {self.uri!r} has no {key!r}; make it with "
                f"scene.add_new_collection({key!r})"
            )
            raise MemberAttributeError(msg)
        return self[key]  # type: ignore[no-any-return]

    def _check_new(self, key: Any, kind: type[SOMAObject]) -> None:
        if key in _COLLECTIONS and (
            not issubclass(kind, Collection) or issubclass(kind, Scene)
        ):
            msg = (
                f"{key!r} in a scene must be a Collection, got {kind.__name__}; add it "
                "to that collection, or under another key"
            )
            raise ArgumentTypeError(msg)
        super()._check_new(key, kind)

    # Adding elements

    def add_new_multiscale_image(
        self,
        key: str,
        subcollection: str | Sequence[str],
        *,
        transform: CoordinateTransform | None,
        uri: str | None = None,
        coordinate_space: Sequence[str] | CoordinateSpace = ("x", "y"),
        type: Any,
        level_shape: Sequence[int],
        level_key: str = "level0",
        level_uri: str | None = None,
        data_axis_order: Sequence[str] | None = None,
        has_channel_axis: bool = True,
        platform_config: Any = None,
    ) -> MultiscaleImage:
        """Make an image in the scene, register the transform to it, and return it.

        Everything is checked before anything is written. The image belongs to the
        scene once the scene is closed.

        Parameters
        ----------
        key : str
            Key of the new image.
        subcollection : str or sequence of str
            Key of the collection to hold it, usually ``"img"``, or the keys that lead
            to it.
        transform : AffineTransform or None
            Or a special case: from the scene's coordinate space to the image's, whose
            unit is a pixel of the reference level. None to register none.
        uri : str, optional
            Where the image is to be, relative to its collection unless absolute.
        coordinate_space : CoordinateSpace or sequence of str
            Spatial axes of the image.
        type, level_shape, level_key, level_uri, data_axis_order, has_channel_axis, \
platform_config
            As for `MultiscaleImage.create`; `level_shape` in data axis order.

        Returns
        -------
        MultiscaleImage
            Open for writing, closed with the scene.

        Raises
        ------
        MemberKeyError
            If there is no such collection, or the key is taken.
        AlreadyExistsError
            If something is stored at `uri`.
        ArgumentError, ArgumentTypeError
            If the scene has no coordinate space, axis names do not fit, or an argument
            makes no sense.
        ModeError
            If the scene is not open for writing.
        """
        self._state.verify_mode("add an image to", "w")
        space = coordinate_space_from(coordinate_space)
        checked = None
        if transform is not None:
            checked = check_to_element(self._state, transform)
            check_ends_in(checked, space.axis_names, "the image")
        holder = self._holder(subcollection)
        image: MultiscaleImage = holder.add_new_collection(
            key,
            MultiscaleImage,
            uri=uri,
            type=type,
            level_shape=level_shape,
            level_key=level_key,
            level_uri=level_uri,
            coordinate_space=space,
            data_axis_order=data_axis_order,
            has_channel_axis=has_channel_axis,
            platform_config=platform_config,
        )
        if checked is not None:
            put_transform(holder._state, key, checked)
        return image

    def add_new_point_cloud_dataframe(
        self,
        key: str,
        subcollection: str | Sequence[str],
        *,
        transform: CoordinateTransform | None,
        uri: str | None = None,
        coordinate_space: Sequence[str] | CoordinateSpace = ("x", "y"),
        schema: Any,
        domain: Any = None,
        platform_config: Any = None,
    ) -> NoReturn:
        """Refuse: this package makes no dataframes.

        Raises
        ------
        UnsupportedError
            Always; says what to use.
        """
        self._refuse_new(key, "point clouds", "add_new_point_cloud_dataframe")

    def add_new_geometry_dataframe(
        self,
        key: str,
        subcollection: str | Sequence[str],
        *,
        transform: CoordinateTransform | None,
        uri: str | None = None,
        schema: Any,
        coordinate_space: Sequence[str] | CoordinateSpace = ("x", "y"),
        domain: Any = None,
        platform_config: Any = None,
    ) -> NoReturn:
        """Refuse: this package makes no dataframes.

        Raises
        ------
        UnsupportedError
            Always; says what to use.
        """
        self._refuse_new(key, "geometries", "add_new_geometry_dataframe")


CLASSES[SceneState] = Scene
