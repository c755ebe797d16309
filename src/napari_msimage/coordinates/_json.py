"""The JSON forms of coordinate spaces and transforms, as the SOMA format has them."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from ..errors import ArgumentError, ArgumentTypeError
from ._axes import Axis, CoordinateSpace
from ._transforms import (
    AffineTransform,
    CoordinateTransform,
    IdentityTransform,
    ScaleTransform,
    UniformScaleTransform,
)

MAX_JSON_LENGTH = 64 * 1024
"""Longest text that is parsed, in characters; real ones have some hundreds."""


def parse_json(text: str, subject: str) -> Any:
    """Python value of a short JSON text.

    Parameters
    ----------
    text : str
        At most `MAX_JSON_LENGTH` characters.
    subject : str
        What the text describes, for the message.

    Raises
    ------
    ArgumentError
        If it is not a string, too long, not JSON, nested too deeply, or gives a name
        twice in one object.
    """
    if not isinstance(text, str):
        msg = (
            f"The JSON of {subject} is {_shorten(text)} ({type(text).__name__}); "
            "expected a string."
        )
        raise ArgumentError(msg)
    if len(text) > MAX_JSON_LENGTH:
        msg = (
            f"The JSON of {subject} has {len(text)} characters; expected at most "
            f"{MAX_JSON_LENGTH}."
        )
        raise ArgumentError(msg)
    try:
        return json.loads(text, object_pairs_hook=_object_without_repeats)
    except RecursionError as err:
        msg = f"The JSON of {subject} is nested too deeply: {_shorten(text)}."
        raise ArgumentError(msg) from err
    # JSONDecodeError, or a plain ValueError for integers of thousands of digits.
    except ValueError as err:
        msg = f"The JSON of {subject} cannot be read ({err}): {_shorten(text)}."
        raise ArgumentError(msg) from err


def coordinate_space_to_json(space: CoordinateSpace) -> str:
    """Write a coordinate space as JSON, spelled like tiledbsoma 2.3's.

    Parameters
    ----------
    space : CoordinateSpace
        What to write.

    Returns
    -------
    str
        A list of ``{"name": ..., "unit": ...}``, coordinate axis order.

    Raises
    ------
    ArgumentTypeError
        If it is not a `CoordinateSpace`.
    ArgumentError
        If the text would be too long to be read again; see `MAX_JSON_LENGTH`.

    Examples
    --------
    >>> coordinate_space_to_json(CoordinateSpace((Axis("x", "um"), Axis("y"))))
    '[{"name": "x", "unit": "um"}, {"name": "y", "unit": null}]'
    """
    if not isinstance(space, CoordinateSpace):
        msg = f"Got {space!r} ({type(space).__name__}); expected a CoordinateSpace."
        raise ArgumentTypeError(msg)
    text = json.dumps([{"name": axis.name, "unit": axis.unit} for axis in space])
    return _checked_length(text, "a coordinate space")


def coordinate_space_from_json(text: str) -> CoordinateSpace:
    """Read a coordinate space from its JSON form.

    Parameters
    ----------
    text : str
        A list of objects with ``name`` and, if known, ``unit``; coordinate axis order.

    Returns
    -------
    CoordinateSpace

    Raises
    ------
    ArgumentError
        If it is anything else, or the axes do not make a coordinate space.
    """
    subject = "a coordinate space"
    items = parse_json(text, subject)
    if not isinstance(items, list):
        _refuse(subject, items, "a list with one object per axis")
    axes = []
    for position, item in enumerate(items):
        of_axis = f"axis {position} of {subject}"
        _check_keys(item, of_axis, required={"name"}, optional={"unit"})
        name, unit = item["name"], item.get("unit")
        if not isinstance(name, str):
            _refuse(f"the name of {of_axis}", name, "a string")
        if not (unit is None or isinstance(unit, str)):
            _refuse(f"the unit of {of_axis}", unit, "a string or null")
        axes.append(Axis(name, unit))
    return CoordinateSpace(tuple(axes))


def transform_to_json(transform: CoordinateTransform) -> str:
    """Write a transform as JSON, spelled like tiledbsoma 2.3's.

    Parameters
    ----------
    transform : AffineTransform
        Or one of its special cases.

    Returns
    -------
    str
        An object with ``transform_type`` and ``transform``.

    Raises
    ------
    ArgumentTypeError
        If it is another transform, or none.
    ArgumentError
        If the text would be too long to be read again; see `MAX_JSON_LENGTH`.
    """
    values: dict[str, Any]
    match transform:
        case IdentityTransform():
            kind, values = "IdentityTransform", {}
        case UniformScaleTransform():
            kind, values = "UniformScaleTransform", {"scale": transform.scale}
        case ScaleTransform():
            kind = "ScaleTransform"
            values = {"scale_factors": transform.scale_factors.tolist()}
        case AffineTransform():
            kind = "AffineTransform"
            values = {"matrix": transform.augmented_matrix.tolist()}
        case _:
            msg = (
                f"Got {transform!r} ({type(transform).__name__}); expected an affine "
                "transform, a scale or the identity."
            )
            raise ArgumentTypeError(msg)
    axes = {"input_axes": transform.input_axes, "output_axes": transform.output_axes}
    text = json.dumps({"transform_type": kind, "transform": axes | values})
    return _checked_length(text, "a coordinate transform")


def transform_from_json(text: str) -> AffineTransform:
    """Read a transform from its JSON form.

    Parameters
    ----------
    text : str
        An object with ``transform_type`` and ``transform``. NaN and infinite numbers
        are taken, as upstream writes them.

    Returns
    -------
    AffineTransform
        Of the class that the text names.

    Raises
    ------
    ArgumentError
        If it is anything else, or the values do not make such a transform.
    """
    subject = "a coordinate transform"
    value = parse_json(text, subject)
    _check_keys(value, subject, required={"transform_type", "transform"})
    kind, fields = value["transform_type"], value["transform"]
    if not isinstance(kind, str) or kind not in _FIELD_OF_KIND:
        _refuse(f"the type of {subject}", kind, f"one of {list(_FIELD_OF_KIND)}")
    field = _FIELD_OF_KIND[kind]
    of_kind = f"the values of {kind}"
    required = {"input_axes", "output_axes"} | ({field} if field else set())
    _check_keys(fields, of_kind, required=required)
    axes = (_axes_field(fields, "input_axes"), _axes_field(fields, "output_axes"))
    if field:
        _check_numbers(fields[field], f"{field} of {kind}")
    try:
        match kind:
            case "IdentityTransform":
                return IdentityTransform(*axes)
            case "UniformScaleTransform":
                return UniformScaleTransform(*axes, fields["scale"])
            case "ScaleTransform":
                return ScaleTransform(*axes, fields["scale_factors"])
            case _:
                return AffineTransform(*axes, fields["matrix"])
    except ArgumentTypeError as err:
        msg = f"Bad JSON for {of_kind}: {err}"
        raise ArgumentError(msg) from err


_FIELD_OF_KIND = {
    "AffineTransform": "matrix",
    "ScaleTransform": "scale_factors",
    "UniformScaleTransform": "scale",
    "IdentityTransform": None,
}
"""Which value each kind has besides its axes."""


def _checked_length(text: str, subject: str) -> str:
    """Refuse to write what `parse_json` would refuse to read."""
    if len(text) > MAX_JSON_LENGTH:
        msg = (
            f"The JSON of {subject} would have {len(text)} characters; at most "
            f"{MAX_JSON_LENGTH} can be read. Use fewer axes, or shorter names."
        )
        raise ArgumentError(msg)
    return text


def _axes_field(fields: dict[str, Any], side: str) -> tuple[str, ...]:
    """Axis names of one side of a transform; a lone string is one name."""
    names = fields[side]
    if isinstance(names, str):
        return (names,)
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        _refuse(f"the {side} of a coordinate transform", names, "a list of strings")
    return tuple(names)


def _check_numbers(value: Any, subject: str) -> None:
    """Refuse anything but numbers and lists of lists of numbers."""
    rows = value if isinstance(value, list) else [value]
    for row in rows:
        for item in row if isinstance(row, list) else [row]:
            if isinstance(item, bool) or not isinstance(item, (int, float)):
                _refuse(subject, item, "numbers only")


def _check_keys(
    value: Any, subject: str, *, required: set[str], optional: set[str] | None = None
) -> None:
    """Refuse what is not an object with exactly these names."""
    if not isinstance(value, dict):
        _refuse(subject, value, f"an object with {sorted(required)}")
    if missing := sorted(required - set(value)):
        msg = f"The JSON of {subject} lacks {missing}: {_shorten(value)}."
        raise ArgumentError(msg)
    if extra := sorted(set(value) - required - (optional or set())):
        msg = (
            f"The JSON of {subject} has the unknown {_shorten(extra)}; expected "
            f"{sorted(required | (optional or set()))} only."
        )
        raise ArgumentError(msg)


def _refuse(subject: str, got: Any, expected: str) -> NoReturn:
    msg = (
        f"The JSON of {subject} is {_shorten(got)} ({type(got).__name__}); expected "
        f"{expected}."
    )
    raise ArgumentError(msg)


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        msg = f"a name is given twice among {_shorten([name for name, _ in pairs])}"
        raise ValueError(msg)
    return result


def _shorten(value: Any) -> str:
    """Repr of a value that fits in a message."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
