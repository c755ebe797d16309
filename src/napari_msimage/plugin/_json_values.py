"""A layer's ``metadata`` as JSON: what can be stored of it, and what cannot."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

_MAX_DEPTH: Final = 32
#: Integers beyond these are not kept by every reader of JSON; TileDB does not care.
_MAX_INT: Final = 2**63


class _NotJSONError(Exception):
    """A value that JSON has no form for."""


def json_part(metadata: dict[Any, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what is JSON of a dictionary, and what was left out.

    Numpy's scalars become plain numbers, tuples lists. What is inside a dictionary is
    left out entry by entry, a list with something else in it as a whole.

    Parameters
    ----------
    metadata : dict
        Anything in it.

    Returns
    -------
    kept : dict
        Text keys; finite numbers, texts, booleans, None, lists and dictionaries.
    left_out : tuple of str
        Where the others were, as in ``"stage.camera"``.
    """
    left_out: list[str] = []
    return _dictionary(metadata, "", left_out, 0), tuple(left_out)


def _dictionary(
    value: dict[Any, Any], place: str, left_out: list[str], depth: int
) -> dict[str, Any]:
    kept = {}
    for key, item in value.items():
        where = f"{place}.{key}" if place else str(key)
        try:
            _check_text(key)
            if isinstance(item, dict) and depth < _MAX_DEPTH:
                kept[key] = _dictionary(item, where, left_out, depth + 1)
            else:
                kept[key] = _plain(item, depth + 1)
        except _NotJSONError:
            left_out.append(where)
    return kept


def _plain(value: Any, depth: int) -> Any:
    """Return a value as JSON has it, or raise."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _check_text(value)
    if isinstance(value, int) and -_MAX_INT <= value < 2 * _MAX_INT:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if depth < _MAX_DEPTH and isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    if depth < _MAX_DEPTH and isinstance(value, dict):
        return {_check_text(k): _plain(v, depth + 1) for k, v in value.items()}
    raise _NotJSONError


def _check_text(value: Any) -> str:
    """Return a text that UTF-8 can hold, or raise."""
    if not isinstance(value, str):
        raise _NotJSONError
    try:
        value.encode()
    except UnicodeEncodeError as err:
        raise _NotJSONError from err
    return str(value)
