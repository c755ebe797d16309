"""From a scene, a collection of images or an experiment to layer tuples."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from ..errors import ConsentError, FormatError, SOMAError, UnsupportedError
from ._open import hints_of, read_image
from ._placement import convert_world
from ._scene_place import ScenePlace, own_space, shared_space
from ._scene_walk import MAX_IMAGES, find_images
from ._units import PIXEL, unit_factor, unit_for_napari

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..coordinates import CoordinateSpace
    from ._layers import LayerTuple
    from ._open import OpenRequest
    from ._scene_walk import Findings, FoundImage, FoundScene

#: So many names or reasons make a notice; the others are counted.
_MAX_NAMED: Final = 5


def read_scene(request: OpenRequest, kind: str) -> tuple[list[LayerTuple], list[str]]:
    """Return the layers of all images in a scene, collection or experiment, and notes.

    Images lie where their scene puts them: world coordinates are scene coordinates with
    the axes reversed. What cannot be opened is left out with a note.

    Parameters
    ----------
    request : OpenRequest
        Where, and how.
    kind : str
        What is there, as of `container_kind`.

    Raises
    ------
    ConsentError
        If something is stored outside the folder and that was not allowed.
    UnsupportedError
        If there are no images.
    FormatError
        If none of them can be opened.
    """
    with find_images(request, kind) as found:
        if found.outside:
            _refuse_outside(request, found)
        if not found.images:
            raise UnsupportedError(_without_images(request, found))
        return _Reading(request, found).read()


class _Reading:
    """Opens the images that were found."""

    def __init__(self, request: OpenRequest, found: Findings) -> None:
        self._request = request
        self._found = found
        self._left_out: list[str] = list(found.damaged)
        self._misplaced: list[str] = []
        self._unplaced: list[str] = []
        self._opened: list[FoundScene] = []
        self._factors, self._world = self._choose_scenes()
        chosen = [
            i for i in found.images if i.scene is None or i.scene in self._factors
        ]
        self._names = _names_of(chosen, n_scenes=len(self._factors))
        if self._world is None:
            self._shared = shared_space([i.image.coordinate_space for i in chosen])
        else:
            self._shared = self._world

    def read(self) -> tuple[list[LayerTuple], list[str]]:
        """Return layers, bottom to top, and notes."""
        layers: list[LayerTuple] = []
        notes: list[str] = []
        for found in sorted(self._names, key=self._position):
            try:
                new, more = self._read_image(found)
            except SOMAError as err:
                self._left_out.append(f"{self._names[found]!r}: {err}")
                continue
            if found.scene is not None and found.scene not in self._opened:
                self._opened.append(found.scene)
            if found.scene not in (None, *self._opened[:1]):
                for _, arguments, _ in new:
                    arguments["visible"] = False
            layers += new
            notes += more
        if not layers:
            msg = (
                f"No image in {self._request.uri!r} can be shown. "
                f"{_some(self._left_out)}"
            )
            raise FormatError(msg)
        return layers, list(dict.fromkeys([*self._notes(), *notes]))

    def _choose_scenes(
        self,
    ) -> tuple[dict[FoundScene, tuple[float, ...]], CoordinateSpace | None]:
        """Return the scenes that go together, and the coordinate space of the first.

        Each has its factors from its own units to the first one's, coordinate axis
        order.
        """
        chosen: dict[FoundScene, tuple[float, ...]] = {}
        world: CoordinateSpace | None = None
        for scene in dict.fromkeys(i.scene for i in self._found.images if i.scene):
            factors = _unit_factors(scene.space, world)
            if factors is None:
                self._left_out.append(
                    f"the scene {scene.name!r} has other axes or units; open it by "
                    f"itself: {scene.uri!r}"
                )
                continue
            chosen[scene] = factors
            world = world or scene.space
        return chosen, world

    def _position(self, found: FoundImage) -> tuple[int, float]:
        """Return where an image belongs among the layers: scenes one after another."""
        scenes = list(self._factors)
        hints, _ = hints_of(found.image)
        order = hints.order if hints is not None else None
        return (
            scenes.index(found.scene) if found.scene else len(scenes),
            float("inf") if order is None else order,
        )

    def _read_image(self, found: FoundImage) -> tuple[list[LayerTuple], list[str]]:
        name = self._names[found]
        place = self._place_of(found, name)
        request = dataclasses.replace(self._request, uri=found.uri, place=place)
        try:
            layers, notes = read_image(found.image, request)
        except UnsupportedError as err:
            if not request.rgb:
                raise
            request = dataclasses.replace(request, rgb=None)
            layers, notes = read_image(found.image, request)
            notes.append(f"{name!r}: {err}")
        if found.matrix is None:
            if found.problem is not None:
                self._misplaced.append(f"{name!r}: {found.problem}")
            elif found.scene is not None:
                self._unplaced.append(name)
        return layers, notes

    def _place_of(self, found: FoundImage, name: str) -> ScenePlace:
        """Return an image's place in the world."""
        n_images = len(self._names)
        own = found.image.coordinate_space
        if found.matrix is None or found.scene is None or found.scene.space is None:
            return ScenePlace(name, own_space(own, self._shared), None, n_images)
        factors = self._factors[found.scene]
        matrix = convert_world(found.matrix, factors[::-1])
        rows = tuple(tuple(float(v) for v in row) for row in matrix)
        space = found.scene.space
        if set(factors) != {1.0}:
            space = own_space(space, self._world)
        return ScenePlace(name, space, rows, n_images)

    # Notes

    def _notes(self) -> list[str]:
        where = f"Of {self._request.uri!r}"
        notes = self._notes_on_scenes()
        if self._unplaced:
            are_many = len(self._unplaced) > 1
            notes.append(
                f"{where}, {_names(self._unplaced)} {'have' if are_many else 'has'} no "
                f"transform from the scene, and {'lie' if are_many else 'lies'} in "
                "pixels from its origin."
            )
        if self._misplaced:
            notes.append(
                f"{where}, these lie in pixels from the origin, not in their place: "
                f"{_some(self._misplaced)}"
            )
        if self._left_out:
            notes.append(f"{where}, this is left out: {_some(self._left_out)}")
        if self._found.others:
            notes.append(
                f"{where}, only images are shown, not {_some(self._found.others)}"
            )
        if not self._found.is_complete:
            notes.append(
                f"{where}, the first {len(self._found.images)} images were opened; "
                f"{MAX_IMAGES} at most. Open a scene or an image by itself for others."
            )
        return notes

    def _notes_on_scenes(self) -> list[str]:
        first, *others = [scene.name for scene in self._opened] or [""]
        if not others:
            return []
        return [
            f"{self._request.uri!r} has {len(others) + 1} scenes, each with its own "
            f"coordinates. {first!r} is shown; {_names(others)} "
            f"{'is' if len(others) == 1 else 'are'} hidden: click the eyes in the "
            "layer list."
        ]


def _unit_factors(
    space: CoordinateSpace | None, world: CoordinateSpace | None
) -> tuple[float, ...] | None:
    """Return world units per unit of a space, by axis; None if they do not compare.

    An unknown unit counts as pixels, as for `display_units`.
    """
    if space is None or world is None:
        return (1.0,) * len(space or ())
    if len(space) != len(world):
        return None
    factors = [
        unit_factor(_unit(one.unit), _unit(other.unit))
        for one, other in zip(space.axes, world.axes, strict=True)
    ]
    return None if None in factors else tuple(f for f in factors if f is not None)


def _unit(unit: str | None) -> str:
    return unit_for_napari(unit) or PIXEL


def _names_of(images: Iterable[FoundImage], *, n_scenes: int) -> dict[FoundImage, str]:
    """Return a name per image: its key, and with several scenes the scene's too."""
    names = {
        found: f"{found.scene.name} {found.path[-1]}"
        if found.scene and n_scenes > 1
        else found.path[-1]
        for found in images
    }
    taken = list(names.values())
    return {
        found: "/".join(found.path) if taken.count(name) > 1 else name
        for found, name in names.items()
    }


def _refuse_outside(request: OpenRequest, found: Findings) -> None:
    named = "; ".join(f"{key!r} at {uri!r}" for key, uri in found.outside.items())
    msg = (
        f"{request.uri!r} keeps parts outside its own folder: {named}. Reading them "
        "uses your permissions. If you trust it, open it with "
        "napari_msimage.plugin.open_image(uri, allow_outside=True)."
    )
    raise ConsentError(msg, found.outside)


def _without_images(request: OpenRequest, found: Findings) -> str:
    """Say that there is nothing to show, and what there is."""
    parts = [f"There are no images in {request.uri!r}, so that nothing can be shown."]
    if found.others:
        parts.append(f"It holds {_some(found.others)}")
    if found.damaged:
        parts.append(f"These cannot be opened: {_some(found.damaged)}")
    if not found.is_complete:
        parts.append("It is large; open a part of it.")
    if not (found.others or found.damaged) and found.is_complete:
        parts.append("It is empty; images of a scene lie in its 'img' collection.")
    return " ".join(parts)


def _names(names: list[str]) -> str:
    quoted = [repr(name) for name in names[:_MAX_NAMED]]
    more = len(names) - len(quoted)
    if more:
        return f"{', '.join(quoted)} and {more} more"
    return " and ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))


def _some(texts: list[str]) -> str:
    """Return some sentences or names in one, closed by a full stop."""
    more = len(texts) - _MAX_NAMED
    shown = [text.rstrip(".") for text in texts[:_MAX_NAMED]]
    return "; ".join([*shown, f"and {more} more"] if more > 0 else shown) + "."
