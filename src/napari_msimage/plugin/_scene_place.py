"""Where an image lies in a scene: the scene's transform to it as napari needs it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

import numpy as np

from ..coordinates import Axis, CoordinateSpace
from ..errors import ArgumentError, FormatError
from ._placement import FloatArray, transform_to_matrix
from ._units import unit_for_napari

if TYPE_CHECKING:
    from ..coordinates import AffineTransform

#: Pixel sizes and distances beyond it overflow when napari multiplies and divides them.
_MOST: Final = 1e100


@dataclasses.dataclass(frozen=True, slots=True)
class ScenePlace:
    """What an image gets from what it was opened with; enough to open it again."""

    name: str
    """Name of the image."""
    coordinate_space: CoordinateSpace
    """World coordinates, coordinate axis order."""
    rows: tuple[tuple[float, ...], ...] | None = None
    """Centres of pixels to world coordinates, augmented, axes in napari's order; None
    for the image's own coordinates."""
    n_images: int = 1
    """How many images were opened together; they share the memory for overviews."""

    @property
    def matrix(self) -> FloatArray | None:
        """The rows, (n_axes + 1, n_axes + 1)."""
        return None if self.rows is None else np.array(self.rows)


def matrix_in_scene(
    transform: AffineTransform, scene: CoordinateSpace, image: CoordinateSpace
) -> FloatArray:
    """Return where the scene's transform puts the centres of an image's pixels.

    Parameters
    ----------
    transform : AffineTransform
        As registered: from scene to image coordinates.
    scene, image : CoordinateSpace
        The axes it has to start from and to end in.

    Returns
    -------
    ndarray, (n_axes + 1, n_axes + 1)
        Centres of the reference level's pixels to scene coordinates, augmented, axes
        in napari's order: the spaces' reversed.

    Raises
    ------
    FormatError
        If it has other axes.
    ArgumentError
        If it cannot be inverted, or has numbers that napari cannot calculate with.
    """
    found = (transform.input_axes, transform.output_axes)
    expected = (scene.axis_names, image.axis_names)
    if found != expected:
        msg = (
            f"its transform leads from the axes {found[0]} to {found[1]}, but scene "
            f"and image have {expected[0]} and {expected[1]}"
        )
        raise FormatError(msg)
    transform.inverse_transform()  # refuses what is singular but for rounding
    matrix = transform_to_matrix(transform)
    numbers = np.abs(np.stack((matrix, transform.augmented_matrix)))
    if not (numbers <= _MOST).all():
        msg = (
            f"The transform {transform.augmented_matrix.tolist()} from the scene to "
            "the image has numbers that are too large or too small to show the image "
            "in its place."
        )
        raise ArgumentError(msg)
    return matrix


def own_space(image: CoordinateSpace, world: CoordinateSpace | None) -> CoordinateSpace:
    """Return the space for an image that has no place among others.

    napari needs one unit per world axis, or it drops all of them: such an image keeps
    the names of its axes and takes the units of the world.

    Parameters
    ----------
    image : CoordinateSpace
        The image's.
    world : CoordinateSpace, optional
        Of the layers beside it. Axes count from the last one shown, the first of the
        space: x of both is the same axis.
    """
    if world is None:
        return image
    units = [axis.unit for axis in world.axes]
    return CoordinateSpace(
        tuple(
            Axis(axis.name, units[i] if i < len(units) else axis.unit)
            for i, axis in enumerate(image.axes)
        )
    )


def shared_space(spaces: list[CoordinateSpace]) -> CoordinateSpace | None:
    """Return the world of images that are in no scene; None for their own.

    Their coordinates are pixels, whatever the unit is called. Where they disagree about
    it, the world has no units.
    """
    longest = max(spaces, key=len)
    units = [unit_for_napari(axis.unit) for axis in longest.axes]
    if all(
        unit_for_napari(axis.unit) == unit
        for space in spaces
        for axis, unit in zip(space.axes, units, strict=False)
    ):
        return None
    return CoordinateSpace.from_axis_names(longest.axis_names)
