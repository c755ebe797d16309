"""Finds the images of a scene, of a collection or of an experiment; reads no pixels."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING, Final, TypeVar

from ..coordinates import AffineTransform, CoordinateSpace
from ..errors import MemberKeyError, SOMAError, UnsupportedError
from ._scene_place import matrix_in_scene

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..storage import Collection, MultiscaleImage, Scene, SOMATileDBContext
    from ._open import OpenRequest
    from ._placement import FloatArray

_Container = TypeVar("_Container", bound="Collection")

_SCENE: Final = "somascene"
_EXPERIMENT: Final = "somaexperiment"
_CONTAINERS: Final = (_SCENE, _EXPERIMENT, "somacollection", "somameasurement")
#: Where an experiment keeps its scenes.
_SPATIAL: Final = "spatial"

#: Bounds for stores that are huge or go round in circles.
MAX_IMAGES: Final = 64
_MAX_MEMBERS: Final = 2000
_MAX_DEPTH: Final = 8


@dataclasses.dataclass(eq=False)
class FoundScene:
    """A scene that was met."""

    name: str
    """Its key, or the last part of its address."""
    uri: str
    """Normalised."""
    space: CoordinateSpace | None
    """Of the scene; where it says none, of the transforms in it."""


@dataclasses.dataclass(frozen=True, eq=False)
class FoundImage:
    """An image that was met, open as long as what holds it."""

    path: tuple[str, ...]
    """Keys that lead to it."""
    image: MultiscaleImage
    """Open for reading."""
    uri: str
    """Normalised."""
    scene: FoundScene | None = None
    """The innermost scene around it."""
    matrix: FloatArray | None = None
    """Centres of pixels to scene coordinates; None without a usable transform."""
    problem: str | None = None
    """Why a transform cannot be used."""


@dataclasses.dataclass(eq=False)
class Findings:
    """What was met on the walk."""

    images: list[FoundImage] = dataclasses.field(default_factory=list)
    """Bottom to top, by scene and key."""
    scenes: list[FoundScene] = dataclasses.field(default_factory=list)
    """Also those without images."""
    outside: dict[str, str] = dataclasses.field(default_factory=dict)
    """Path and address of what is stored elsewhere and was not opened."""
    others: list[str] = dataclasses.field(default_factory=list)
    """Members that are no images, with their types."""
    damaged: list[str] = dataclasses.field(default_factory=list)
    """Members that cannot be opened, and why."""
    is_complete: bool = True
    """Whether everything was looked at."""


def container_kind(uri: str, context: SOMATileDBContext | None = None) -> str | None:
    """Return the SOMA type of what may hold images at an address, in lower case.

    None for anything but a scene, a collection, an experiment or a measurement. Never
    raises.
    """
    from ..storage import probe

    kind = (probe(uri, context) or "").lower()
    return kind if kind in _CONTAINERS else None


@contextlib.contextmanager
def find_images(request: OpenRequest, kind: str) -> Generator[Findings]:
    """Look for images in what a request names; they are open within the context.

    What lies outside that folder is only looked at if the request allows it.

    Parameters
    ----------
    request : OpenRequest
        Where.
    kind : str
        What is there, as of `container_kind`.

    Raises
    ------
    SOMAError
        If it cannot be opened, or is an experiment without a spatial part.
    """
    from ..storage import Collection, Scene, normalize_uri

    address = normalize_uri(request.uri)
    walk = _Walk(address, allow_outside=request.allow_outside)
    if kind == _SCENE:
        with _open(Scene, request.uri, request) as scene:
            walk.enter_scene(scene, _last_part(address), ())
            yield walk.found
    elif (around := _scene_around(address, request)) is not None:
        scene, key = around
        with scene:
            walk.enter_part(scene, _last_part(normalize_uri(scene.uri)), key)
            yield walk.found
    else:
        with _open(Collection, request.uri, request) as node:
            if kind == _EXPERIMENT:
                walk.enter_experiment(node)
            else:
                walk.enter(node, (), None, ())
            yield walk.found


def _open(kind: type[_Container], uri: str, request: OpenRequest) -> _Container:
    return kind.open(
        uri, context=request.context, tiledb_timestamp=request.tiledb_timestamp
    )


def _scene_around(address: str, request: OpenRequest) -> tuple[Scene, str] | None:
    """Return the scene whose collection is at an address, open, and its key there.

    The collection knows the transforms, but only the scene knows axes and units.
    """
    from ..storage import Scene, is_local, normalize_uri

    local = is_local(address)
    parent = os.path.dirname(address) if local else address.rpartition("/")[0]
    if not parent or container_kind(parent, request.context) != _SCENE:
        return None
    try:
        scene = _open(Scene, parent, request)
    except SOMAError:
        return None
    for key, (uri, _) in scene.members().items():
        if normalize_uri(uri) == address:
            return scene, key
    scene.close()
    return None


def _last_part(address: str) -> str:
    from ._open import image_name

    return image_name(address)


class _Walk:
    """Goes through collections and scenes, deeper and deeper.

    Parameters
    ----------
    root : str
        Normalised address of what was asked for.
    allow_outside : bool
        Whether to follow members that are stored outside of it.
    """

    def __init__(self, root: str, *, allow_outside: bool) -> None:
        self.found = Findings()
        self._root = root
        self._allow_outside = allow_outside
        self._scenes: dict[Scene, FoundScene] = {}
        self._seen = {root}
        self._n_members = 0

    def enter_experiment(self, experiment: Collection) -> None:
        """Look through the scenes of an experiment; the rest of it has no images."""
        if _SPATIAL not in experiment:
            msg = (
                f"The SOMAExperiment at {experiment.uri!r} has no {_SPATIAL!r} "
                "collection, in which scenes and their images would lie."
            )
            raise UnsupportedError(msg)
        self._visit(experiment, _SPATIAL, (), None, ())

    def enter_scene(self, scene: Scene, name: str, path: tuple[str, ...]) -> None:
        """Look through a scene."""
        self._note_scene(scene, name)
        self.enter(scene, path, scene, ())

    def enter_part(self, scene: Scene, name: str, key: str) -> None:
        """Look through one collection of a scene, which is the root."""
        self._note_scene(scene, name)
        self.enter(scene[key], (), scene, (key,))

    def _note_scene(self, scene: Scene, name: str) -> None:
        from ..storage import normalize_uri

        uri = normalize_uri(scene.uri)
        self._scenes[scene] = FoundScene(name, uri, scene.coordinate_space)
        self.found.scenes.append(self._scenes[scene])

    def enter(
        self,
        node: Collection,
        path: tuple[str, ...],
        scene: Scene | None,
        keys: tuple[str, ...],
    ) -> None:
        """Look through a collection.

        Parameters
        ----------
        node : Collection
            Which; open.
        path : tuple of str
            Keys from the root to it.
        scene : Scene, optional
            The innermost scene around it.
        keys : tuple of str
            Keys from that scene to it.
        """
        for key in node:
            if self._is_full(path):
                self.found.is_complete = False
                return
            self._visit(node, key, path, scene, keys)

    def _is_full(self, path: tuple[str, ...]) -> bool:
        return (
            len(self.found.images) >= MAX_IMAGES
            or self._n_members >= _MAX_MEMBERS
            or len(path) >= _MAX_DEPTH
        )

    def _visit(
        self,
        node: Collection,
        key: str,
        path: tuple[str, ...],
        scene: Scene | None,
        keys: tuple[str, ...],
    ) -> None:
        from ..storage import Collection, MultiscaleImage, Scene, is_inside
        from ..storage import normalize_uri as normalize

        self._n_members += 1
        here = (*path, key)
        shown = "/".join(here)
        address = normalize(node.members()[key][0])
        if not self._allow_outside and not is_inside(address, self._root):
            self.found.outside[shown] = address
            return
        try:
            child = node[key]
        except UnsupportedError:
            self.found.others.append(f"{shown!r} ({_type_of(node, key)})")
            return
        except SOMAError as err:
            self.found.damaged.append(f"{shown!r}: {err}")
            return
        if isinstance(child, MultiscaleImage):
            self._note_image(node, here, child, address, scene, keys)
        elif not isinstance(child, Collection):
            self.found.others.append(f"{shown!r} ({child.soma_type})")
        elif address not in self._seen:
            self._seen.add(address)
            if isinstance(child, Scene):
                self.enter_scene(child, key, here)
            else:
                self.enter(child, here, scene, (*keys, key))

    def _note_image(
        self,
        node: Collection,
        path: tuple[str, ...],
        image: MultiscaleImage,
        address: str,
        scene: Scene | None,
        keys: tuple[str, ...],
    ) -> None:
        if not self._allow_outside:
            levels = image.members_outside()
            self.found.outside.update(
                {"/".join((*path, level)): uri for level, uri in levels.items()}
            )
        if scene is None:
            problem = None
            if _has_transform(node, path[-1]):
                problem = "the scene that its transform starts from is not here"
            self.found.images.append(FoundImage(path, image, address, problem=problem))
            return
        facts = self._scenes[scene]
        matrix, problem = _place(scene, facts, image, path[-1], keys)
        self.found.images.append(
            FoundImage(path, image, address, facts, matrix, problem)
        )


def _place(
    scene: Scene,
    facts: FoundScene,
    image: MultiscaleImage,
    key: str,
    keys: tuple[str, ...],
) -> tuple[FloatArray | None, str | None]:
    """Return where a scene puts an image, or why it cannot; neither if it does not."""
    if not keys:  # only collections in the scene hold transforms
        return None, None
    try:
        transform = scene.get_transform_to_multiscale_image(key, keys)
        if not isinstance(transform, AffineTransform):
            return None, f"its transform is a {type(transform).__name__}"
        space = facts.space
        if space is None:
            space = CoordinateSpace.from_axis_names(transform.input_axes)
        matrix = matrix_in_scene(transform, space, image.coordinate_space)
    except MemberKeyError:
        return None, None
    except SOMAError as err:
        return None, str(err)
    facts.space = space
    return matrix, None


def _has_transform(node: Collection, key: str) -> bool:
    from ..storage import SCENE_PREFIX

    return SCENE_PREFIX + key in node.metadata


def _type_of(node: Collection, key: str) -> str:
    try:
        return node.member_type(key)
    except SOMAError:
        return "unknown"
