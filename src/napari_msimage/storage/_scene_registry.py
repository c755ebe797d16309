"""Transforms from a scene to its elements, as the holding collection stores them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..coordinates import (
    AffineTransform,
    ScaleTransform,
    transform_from_json,
    transform_to_json,
)
from ..errors import ArgumentError, ArgumentTypeError, FormatError, MemberKeyError
from ._metadata import SCENE_PREFIX, read_text

if TYPE_CHECKING:
    from ..coordinates import CoordinateSpace
    from ._collection_state import CollectionState, SceneState


def check_to_element(scene: SceneState, transform: Any) -> AffineTransform:
    """Return a transform if it can lead from the scene to one of its elements.

    Raises
    ------
    ArgumentTypeError
        If it is not a transform.
    ArgumentError
        If the scene has no coordinate space yet, the transform does not start from its
        axes, or it holds NaN or infinity.
    """
    if scene.space is None:
        msg = (
            f"The scene at {scene.uri!r} has no coordinate space, from which a "
            "transform could start; set scene.coordinate_space first"
        )
        raise ArgumentError(msg)
    if not isinstance(transform, AffineTransform):
        msg = (
            "transform must be an affine transform, a scale or the identity, got "
            f"{type(transform).__name__}: {transform!r}"
        )
        raise ArgumentTypeError(msg)
    if transform.input_axes != scene.space.axis_names:
        msg = (
            f"The transform starts from the axes {transform.input_axes}; the scene at "
            f"{scene.uri!r} has {scene.space.axis_names}"
        )
        raise ArgumentError(msg)
    if not _is_finite(transform):
        msg = f"A transform to an element must have finite numbers, got {transform!r}"
        raise ArgumentError(msg)
    return transform


def check_ends_in(
    transform: AffineTransform, axes: tuple[str, ...], where: str
) -> None:
    """Check that a transform ends in these axes.

    Raises
    ------
    ArgumentError
        If it does not.
    """
    if transform.output_axes != axes:
        ends = transform.output_axes
        msg = f"The transform ends in the axes {ends}; {where} has {axes}"
        raise ArgumentError(msg)


def put_transform(
    holder: CollectionState, key: str, transform: AffineTransform
) -> None:
    """Note the transform to a member of a collection; written with its metadata."""
    holder.verify_mode("register a transform in", "w")
    holder.metadata.put(SCENE_PREFIX + key, transform_to_json(transform))


def get_transform(holder: CollectionState, key: str) -> AffineTransform:
    """Return the transform to a member of a collection.

    Raises
    ------
    MemberKeyError
        If there is no such member, or no transform to it.
    FormatError
        If what is stored is damaged; says what is wrong.
    ModeError
        If the collection is closed.
    """
    entry = SCENE_PREFIX + str(key)
    if key not in holder.members or entry not in holder.metadata:
        names = [k for k in holder.members if SCENE_PREFIX + k in holder.metadata]
        what = "transform to" if key in holder.members else "member"
        msg = (
            f"No {what} {key!r} in the collection at {holder.uri!r}; it has transforms "
            f"to {', '.join(map(repr, names)) or 'none'}"
        )
        raise MemberKeyError(msg)
    text = read_text({entry: holder.metadata[entry]}, entry, holder.uri)
    try:
        transform = transform_from_json(text)
    except ArgumentError as err:
        msg = f"The metadata entry {entry!r} at {holder.uri!r} is damaged: {err}"
        raise FormatError(msg) from err
    if not _is_finite(transform):
        msg = (
            f"The metadata entry {entry!r} at {holder.uri!r} is damaged: its transform "
            f"holds a number that is not finite: {text[:200]}"
        )
        raise FormatError(msg)
    return transform


def check_fits(
    transform: AffineTransform, space: CoordinateSpace, key: str, uri: str
) -> None:
    """Check that a stored transform leads to an element as it is.

    Raises
    ------
    FormatError
        If it ends in other axes.
    """
    if transform.output_axes != space.axis_names:
        msg = (
            f"The transform registered for {key!r} in {uri!r} ends in the axes "
            f"{transform.output_axes}, but the element has {space.axis_names}. Set it "
            "again."
        )
        raise FormatError(msg)


def _is_finite(transform: AffineTransform) -> bool:
    numbers = (
        transform.scale_factors  # not the matrix: a short text can name many axes
        if isinstance(transform, ScaleTransform)
        else transform.augmented_matrix
    )
    return bool(np.isfinite(numbers).all())
