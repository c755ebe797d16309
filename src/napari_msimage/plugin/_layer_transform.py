"""A layer's transform: napari's arguments, the record of them, and the matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import ArgumentError
from ._hint_fields import Placement
from ._placement import (
    FloatArray,
    image_matrix,
    is_pixel_grid,
    is_same_place,
    level_offset,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ARGUMENTS: Final = ("scale", "translate", "rotate", "shear", "affine")


def attributes_to_placement(
    attributes: Mapping[str, Any], n_axes: int, subject: str
) -> Placement:
    """Return a layer's transform, complete.

    Parameters
    ----------
    attributes : mapping
        Of a layer tuple; ``rotate`` may be an angle in degrees, three of them, or a
        matrix; ``shear`` a vector or a matrix; ``affine`` anything napari takes.
    n_axes : int
        Axes of the layer, colours not counted.
    subject : str
        Which layer, for messages.

    Raises
    ------
    ArgumentError
        If napari could not use them for a layer with so many axes.
    """
    from napari.utils.transforms import CompositeAffine

    given = {name: attributes.get(name) for name in _ARGUMENTS}
    try:
        main = CompositeAffine(
            scale=_or(given["scale"], (1.0,) * n_axes),
            translate=_or(given["translate"], (0.0,) * n_axes),
            rotate=given["rotate"],
            shear=given["shear"],
            ndim=n_axes,
        )
        affine = _affine_matrix(given["affine"], n_axes)
        if main.ndim != n_axes or len(affine) != n_axes + 1:
            msg = f"for {main.ndim} axes"
            raise ValueError(msg)
    except (ValueError, TypeError, IndexError) as err:
        msg = (
            f"{subject} has {n_axes} axes, and a transform that does not fit them: "
            f"{ {k: v for k, v in given.items() if v is not None} } ({err}). Give one "
            "number per axis."
        )
        raise ArgumentError(msg) from err
    return Placement.model_construct(
        scale=_numbers(main.scale),
        translate=_numbers(main.translate),
        rotate=_matrix(main.rotate),
        shear=_numbers_or_matrix(main.shear),
        affine=_matrix(affine),
    )


def placement_to_matrix(placement: Placement, n_axes: int) -> FloatArray:
    """Return the data-to-world matrix that napari makes of a transform.

    Parameters
    ----------
    placement : Placement
        Parts may be missing.
    n_axes : int
        Axes of the layer.

    Raises
    ------
    ValueError
        If the parts make no sense to napari.
    """
    from napari.utils.transforms import CompositeAffine

    main = CompositeAffine(
        scale=_or(placement.scale, (1.0,) * n_axes),
        translate=_or(placement.translate, (0.0,) * n_axes),
        rotate=_array_or_none(placement.rotate),
        shear=_array_or_none(placement.shear),
        ndim=n_axes,
    )
    affine = _affine_matrix(placement.affine, n_axes)
    matrix: FloatArray = affine @ main.affine_matrix
    return matrix


def trim_placement(placement: Placement, n_axes: int) -> Placement:
    """Return the transform without the parts that are trivial."""
    eye = np.eye(n_axes)
    trivial: dict[str, Any] = {
        "scale": np.ones(n_axes),
        "translate": np.zeros(n_axes),
        "rotate": eye,
        "affine": np.eye(n_axes + 1),
    }
    parts = placement.model_dump()
    for name, value in trivial.items():
        if parts[name] is not None and np.array_equal(parts[name], value):
            parts[name] = None
    shear = np.asarray(_or(parts["shear"], ()), float)
    if not (shear - (eye if shear.ndim == 2 else 0)).any():
        parts["shear"] = None
    return Placement.model_construct(**parts)


def zoom_placement(placement: Placement, factors: Sequence[float]) -> Placement | None:
    """Return the transform of a coarser level over the same extent.

    Parameters
    ----------
    placement : Placement
        Complete.
    factors : sequence of float, (n_axes,)
        Finest size divided by the level's.

    Returns
    -------
    Placement or None
        None where napari's parts cannot express it simply.
    """
    is_turned = trim_placement(placement, len(factors))
    if is_turned.rotate is not None or is_turned.shear is not None:
        return None
    scale = np.asarray(placement.scale)
    shift = level_offset(factors) * scale
    return placement.model_copy(
        update={
            "scale": _numbers(scale * factors),
            "translate": _numbers(np.asarray(placement.translate) + shift),
        }
    )


def rescale_placement(
    placement: Placement, factors: Sequence[float]
) -> Placement | None:
    """Return the transform with world coordinates in other units.

    Parameters
    ----------
    placement : Placement
        Complete.
    factors : sequence of float, (n_axes,)
        New units per old unit.

    Returns
    -------
    Placement or None
        None where the factors differ.
    """
    if len(set(factors)) != 1:
        return None
    factor = factors[0]
    affine = np.array(placement.affine)
    affine[:-1, -1] *= factor
    return placement.model_copy(
        update={
            "scale": _numbers(np.asarray(placement.scale) * factor),
            "translate": _numbers(np.asarray(placement.translate) * factor),
            "affine": _matrix(affine),
        }
    )


def placement_arguments(
    placement: Placement | None, matrix: FloatArray | None, n_axes: int
) -> dict[str, Any]:
    """Return napari's arguments for where a layer lies.

    A remembered transform is used if it says what is stored, so that the numbers in
    napari's controls come back as they were.

    Parameters
    ----------
    placement : Placement, optional
        What was remembered.
    matrix : ndarray, (n_axes + 1, n_axes + 1), optional
        Data to world as stored; None for an image that is in no scene.
    n_axes : int
        Axes of the layer; `matrix` may have fewer, the last ones.

    Returns
    -------
    dict
        ``scale`` and ``translate``, and ``rotate``, ``shear`` or ``affine`` if needed.
    """
    is_alone = matrix is None
    if matrix is None:
        matrix = image_matrix(n_axes)
    elif len(matrix) <= n_axes:
        matrix = _embed(matrix, n_axes)
    arguments = _remembered(placement, matrix, n_axes, is_alone)
    return _stored(matrix) if arguments is None else arguments


def _remembered(
    placement: Placement | None, matrix: FloatArray, n_axes: int, is_alone: bool
) -> dict[str, Any] | None:
    if placement is None or not _has_axes(placement, n_axes):
        return None
    try:
        remembered = placement_to_matrix(placement, n_axes)
    except (ValueError, TypeError, IndexError):
        return None
    if not np.isfinite(remembered).all():
        return None
    if not (is_alone and is_pixel_grid(remembered)) and not is_same_place(
        matrix, remembered
    ):
        return None
    parts = placement.model_dump(exclude_none=True)
    arguments: dict[str, Any] = {
        "scale": parts.pop("scale", (1.0,) * n_axes),
        "translate": parts.pop("translate", (0.0,) * n_axes),
    }
    return arguments | {name: np.array(value) for name, value in parts.items()}


def _has_axes(placement: Placement, n_axes: int) -> bool:
    """Tell whether all parts are for so many axes."""
    n = n_axes
    shapes: dict[str, tuple[tuple[int, ...], ...]] = {
        "scale": ((n,),),
        "translate": ((n,),),
        "rotate": ((n, n),),
        "shear": ((n * (n - 1) // 2,), (n, n)),
        "affine": ((n + 1, n + 1),),
    }
    return all(
        value is None or _shape(value) in shapes[name]
        for name, value in placement.model_dump().items()
    )


def _shape(value: Any) -> tuple[int, ...]:
    """Return the shape of numbers or rows of them; () for rows of different length."""
    try:
        return np.shape(value)
    except ValueError:
        return ()


def _stored(matrix: FloatArray) -> dict[str, Any]:
    """Return the arguments that say the same as a matrix."""
    n_axes = len(matrix) - 1
    scale = np.diag(matrix)[:-1]
    if np.array_equal(matrix[:-1, :-1], np.diag(scale)):
        return {"scale": _numbers(scale), "translate": _numbers(matrix[:-1, -1])}
    return {
        "scale": (1.0,) * n_axes,
        "translate": (0.0,) * n_axes,
        "affine": matrix,
    }


def _embed(matrix: FloatArray, n_axes: int) -> FloatArray:
    """Give a matrix trivial axes in front, as for a row in a plane."""
    whole = image_matrix(n_axes)
    n = len(matrix)
    whole[-n:, -n:] = matrix
    return whole


def _affine_matrix(affine: Any, n_axes: int) -> FloatArray:
    """Return the last transform of a layer as a matrix."""
    from napari.utils.transforms import Affine

    if affine is None:
        return np.eye(n_axes + 1)
    matrix = np.asarray(getattr(affine, "affine_matrix", affine), dtype=np.float64)
    embedded: FloatArray = Affine(affine_matrix=matrix, ndim=n_axes).affine_matrix
    return embedded


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _array_or_none(value: Any) -> FloatArray | None:
    return None if value is None else np.asarray(value, dtype=np.float64)


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _matrix(values: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(_numbers(row) for row in values)


def _numbers_or_matrix(values: Any) -> Any:
    return _matrix(values) if np.ndim(values) == 2 else _numbers(values)
