"""Metadata keys and versions of the SOMA format, and their strict reading."""

from __future__ import annotations

import copy
import json
import math
import operator
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from ..coordinates import CoordinateSpace, coordinate_space_from_json, parse_json
from ..errors import ArgumentError, ArgumentTypeError, FormatError, LevelKeyError
from ._datatypes import to_dtype, to_format
from ._soma_types import IMAGE_TYPE, canonical_type, opening_advice

OBJECT_TYPE: Final = "soma_object_type"
ENCODING_VERSION: Final = "soma_encoding_version"
SPATIAL_ENCODING_VERSION: Final = "soma_spatial_encoding_version"
COORDINATE_SPACE: Final = "soma_coordinate_space"
IMAGE_SCHEMA: Final = "soma_multiscale_image_schema"
LEVEL_PREFIX: Final = "soma_level_"
SCENE_PREFIX: Final = "soma_scene_registry_"
CHANNEL_AXIS: Final = "soma_channel"

VERSION_WRITTEN: Final = "1.1.0"
SPATIAL_VERSION_WRITTEN: Final = "0.2.0"
_VERSIONS: Final = ("1", "1.1.0")
_SPATIAL_VERSIONS: Final = ("0.1.0", "0.2.0")

MAX_LEVELS: Final = 64
_MAX_SIZE: Final = 2**31
_MAX_CELLS: Final = 2**48
#: What one session may write: TileDB reads all of it at the first access, and we
#: refuse to open files of more than 8 MiB (see `_header_check`).
_MAX_PENDING_BYTES: Final = 4 * 2**20

MetadataValue = str | bytes | int | float


@dataclass(frozen=True, slots=True)
class ImageSchema:
    """What ``soma_multiscale_image_schema`` says of all levels together."""

    data_axis_permutation: tuple[int, ...]
    """Per stored axis its position in the coordinate space; n_axes is the channel."""
    has_channel_axis: bool
    """Whether one stored axis is the channel."""
    shape: tuple[int, ...]
    """Shape given at creation, data axis order; informational."""
    dtype: np.dtype[Any]
    """Pixel type of every level."""

    def to_json(self) -> str:
        """Return the stored text."""
        return json.dumps(
            {
                "data_axis_permutation": list(self.data_axis_permutation),
                "shape": list(self.shape),
                "has_channel_axis": self.has_channel_axis,
                "datatype": to_format(self.dtype),
            }
        )


def shape_to_json(shape: Sequence[int]) -> str:
    """Return a level shape as it is stored."""
    return json.dumps(list(shape))


def check_shape(shape: Any, what: str = "level_shape") -> tuple[int, ...]:
    """Return a shape as a tuple of plain ints.

    Raises
    ------
    ArgumentTypeError
        If it is not a sequence of whole numbers.
    ArgumentError
        If a size is below 1 or above 2**31, or there are 2**48 cells or more.
    """
    if isinstance(shape, str | bytes) or not isinstance(shape, Sequence | np.ndarray):
        msg = f"{what} must be a sequence of whole numbers, got {shape!r}"
        raise ArgumentTypeError(msg)
    sizes: list[int] = []
    for size in shape:
        if isinstance(size, bool | np.bool_):
            msg = f"{what} must hold whole numbers, got {size!r} in {shape!r}"
            raise ArgumentTypeError(msg)
        try:
            sizes.append(operator.index(size))
        except TypeError as err:
            msg = f"{what} must hold whole numbers, got {size!r} in {shape!r}"
            raise ArgumentTypeError(msg) from err
    if any(not 1 <= size <= _MAX_SIZE for size in sizes):
        msg = f"{what} sizes must be between 1 and 2**31, got {tuple(sizes)}"
        raise ArgumentError(msg)
    if math.prod(sizes) >= _MAX_CELLS:
        msg = f"{what} {tuple(sizes)} has 2**48 cells or more, which is not supported"
        raise ArgumentError(msg)
    return tuple(sizes)


# Reading ------------------------------------------------------------------------


def read_text(metadata: Mapping[str, Any], key: str, uri: str) -> str:
    """Return a text entry; bytes are decoded as UTF-8.

    Raises
    ------
    FormatError
        If it is missing, of another type or not UTF-8.
    """
    if key not in metadata:
        msg = (
            f"The metadata entry {key!r} is missing at {uri!r}. This is not a complete "
            "SOMA object; it may be damaged or made by another program."
        )
        raise FormatError(msg)
    value = metadata[key]
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as err:
            msg = f"The metadata entry {key!r} at {uri!r} is not UTF-8 text: {value!r}"
            raise FormatError(msg) from err
    if not isinstance(value, str):
        msg = (
            f"The metadata entry {key!r} at {uri!r} must be text, got "
            f"{type(value).__name__}: {value!r}"
        )
        raise FormatError(msg)
    return value


def check_object(metadata: Mapping[str, Any], uri: str, *expected: str) -> str:
    """Check the type and encoding version of a SOMA object; return the type.

    Raises
    ------
    FormatError
        If it is another type (said which, and what opens it) or an unknown version.
    """
    names = " or ".join(map(repr, expected))
    if OBJECT_TYPE not in metadata:
        msg = (
            f"At {uri!r} is a TileDB group or array that does not say what it is (the "
            f"metadata entry {OBJECT_TYPE!r} is missing); expected a {names}. It "
            "may be damaged or made by another program."
        )
        raise FormatError(msg)
    found = canonical_type(read_text(metadata, OBJECT_TYPE, uri))
    if found not in expected:
        msg = f"The object at {uri!r} is a {found!r}, not a {names}."
        raise FormatError(f"{msg} {opening_advice(found)}".rstrip())
    _check_version(metadata, ENCODING_VERSION, _VERSIONS, uri)
    return found


def _check_version(
    metadata: Mapping[str, Any], key: str, known: tuple[str, ...], uri: str
) -> None:
    version = read_text(metadata, key, uri)
    if version not in known:
        msg = (
            f"{key} is {version!r} at {uri!r}; this version of napari-msimage reads "
            f"{' and '.join(known)}. A newer release may read it."
        )
        raise FormatError(msg)


def check_spatial_version(metadata: Mapping[str, Any], uri: str) -> None:
    """Check the version of the spatial part of the format.

    Raises
    ------
    FormatError
        If it is missing or unknown.
    """
    _check_version(metadata, SPATIAL_ENCODING_VERSION, _SPATIAL_VERSIONS, uri)


def read_coordinate_space(metadata: Mapping[str, Any], uri: str) -> CoordinateSpace:
    """Return the stored coordinate space.

    Raises
    ------
    FormatError
        If it is missing or damaged.
    """
    try:
        return coordinate_space_from_json(read_text(metadata, COORDINATE_SPACE, uri))
    except ArgumentError as err:
        msg = f"The metadata entry {COORDINATE_SPACE!r} at {uri!r} is damaged: {err}"
        raise FormatError(msg) from err


def read_image_metadata(
    metadata: Mapping[str, Any], uri: str
) -> tuple[CoordinateSpace, ImageSchema]:
    """Read the entries that describe a whole image.

    Raises
    ------
    FormatError
        If one is missing, of the wrong type, or says something impossible.
    """
    check_object(metadata, uri, IMAGE_TYPE)
    check_spatial_version(metadata, uri)
    space = read_coordinate_space(metadata, uri)
    return space, _read_schema(read_text(metadata, IMAGE_SCHEMA, uri), space, uri)


def _read_schema(text: str, space: CoordinateSpace, uri: str) -> ImageSchema:
    raw = _parse_json(text, IMAGE_SCHEMA, uri)
    expected = {"data_axis_permutation", "shape", "has_channel_axis", "datatype"}
    if not isinstance(raw, dict) or set(raw) != expected:
        found = sorted(raw) if isinstance(raw, dict) else raw
        msg = (
            f"The metadata entry {IMAGE_SCHEMA!r} at {uri!r} must have the entries "
            f"{sorted(expected)}, got {found!r}"
        )
        raise FormatError(msg)
    has_channel = raw["has_channel_axis"]
    n_stored = len(space) + bool(has_channel)
    permutation = raw["data_axis_permutation"]
    if (
        not isinstance(has_channel, bool)
        or not isinstance(permutation, list)
        or any(type(i) is not int for i in permutation)
        or sorted(permutation) != list(range(n_stored))
    ):
        msg = (
            f"The metadata entry {IMAGE_SCHEMA!r} at {uri!r} has has_channel_axis "
            f"{has_channel!r} and data_axis_permutation {permutation!r}; expected true "
            f"or false and an arrangement of {list(range(n_stored))}"
        )
        raise FormatError(msg)
    try:
        if not isinstance(raw["datatype"], str):
            raise ArgumentTypeError(f"datatype is {raw['datatype']!r}, not text")
        dtype = to_dtype(raw["datatype"])
    except ArgumentTypeError as err:
        msg = f"The metadata entry {IMAGE_SCHEMA!r} at {uri!r} is damaged: {err}"
        raise FormatError(msg) from err
    shape = raw["shape"]
    if not isinstance(shape, list) or len(shape) != n_stored:
        shape = []  # informational only: a wrong value is no reason to refuse
    return ImageSchema(tuple(permutation), has_channel, tuple(shape), dtype)


def read_level_shape(
    metadata: Mapping[str, Any], key: str, uri: str
) -> tuple[int, ...]:
    """Return the stored shape of one level, data axis order.

    Raises
    ------
    FormatError
        If it is not a JSON list of sizes between 1 and 2**31.
    """
    entry = LEVEL_PREFIX + key
    raw = _parse_json(read_text(metadata, entry, uri), entry, uri)
    if isinstance(raw, list):
        # upstream takes 5.0 for 5 and stores it so
        raw = [int(n) if isinstance(n, float) and n.is_integer() else n for n in raw]
    try:
        return check_shape(raw, f"The metadata entry {entry!r} at {uri!r}")
    except (ArgumentError, ArgumentTypeError) as err:
        raise FormatError(str(err)) from err


def _parse_json(text: str, entry: str, uri: str) -> Any:
    try:
        return parse_json(text, f"the metadata entry {entry!r} at {uri!r}")
    except ArgumentError as err:
        raise FormatError(str(err)) from err


# The mapping users see ----------------------------------------------------------


class Unreadable:
    """Stands for a value of a type that TileDB-Py cannot read (TILEDB_BOOL)."""


class Metadata(MutableMapping[str, MetadataValue]):
    """Metadata of an open object; changes are written when the object is closed.

    Parameters
    ----------
    values : mapping
        What is stored now.
    guard : callable
        Called with ``"read"`` or ``"write"`` before each access; raises `ModeError`
        when the object is closed or the mode does not allow it.
    uri : str
        For messages.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        guard: Callable[[Literal["read", "write"]], None],
        uri: str,
    ) -> None:
        self._stored = dict(values)
        self._values = dict(values)
        self._pending: dict[str, int] = {}
        self._guard = guard
        self._uri = uri
        self._owner: object = None

    def __getitem__(self, key: str) -> MetadataValue:
        self._guard("read")
        if key not in self._values:
            msg = f"No metadata entry {key!r} at {self._uri!r}"
            raise LevelKeyError(msg)
        value = self._values[key]
        if isinstance(value, Unreadable):
            msg = (
                f"The metadata entry {key!r} at {self._uri!r} is stored as a boolean, "
                "which TileDB-Py cannot read"
            )
            raise FormatError(msg)
        return value  # type: ignore[no-any-return]

    def __setitem__(self, key: str, value: MetadataValue) -> None:
        self._guard("write")
        self._check_changeable(key)
        checked = _check_value(key, value)
        self._check_size(key, checked)
        self._values[key] = checked

    def __delitem__(self, key: str) -> None:
        self._guard("write")
        self._check_changeable(key)
        if key not in self._values:
            msg = f"No metadata entry {key!r} at {self._uri!r}"
            raise LevelKeyError(msg)
        del self._values[key]

    def __iter__(self) -> Iterator[str]:
        self._guard("read")
        return iter(list(self._values))

    def __len__(self) -> int:
        self._guard("read")
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        self._guard("read")
        return key in self._values

    def __repr__(self) -> str:
        return f"<Metadata of {self._uri!r}: {sorted(self._values)}>"

    def view(self, owner: object) -> Metadata:
        """Return this same mapping, keeping `owner` alive as long as it is used."""
        view = copy.copy(self)
        view._owner = owner
        return view

    def changes(self) -> tuple[dict[str, MetadataValue], list[str]]:
        """Return what to write (entries set) and what to remove (keys)."""
        missing = object()
        changed = {
            k: v
            for k, v in self._values.items()
            if not _same(v, self._stored.get(k, missing))
        }
        return changed, [k for k in self._stored if k not in self._values]

    def written(self) -> None:
        """Note that the changes are on disk now."""
        self._stored.clear()
        self._stored.update(self._values)
        self._pending.clear()

    def put(self, key: str, value: MetadataValue) -> None:
        """Set an entry of the format itself, unchecked."""
        self._values[key] = value

    def drop(self, key: str) -> None:
        """Remove an entry of the format itself, if it is there."""
        self._values.pop(key, None)

    def _check_changeable(self, key: Any) -> None:
        if not isinstance(key, str):
            msg = f"A metadata key must be a str, got {type(key).__name__}: {key!r}"
            raise ArgumentTypeError(msg)
        if not key or "\0" in key:
            msg = f"A metadata key must not be empty or hold NUL, got {key!r}"
            raise ArgumentError(msg)
        if key in (OBJECT_TYPE, ENCODING_VERSION):
            msg = (
                f"The metadata entry {key!r} says what the object at {self._uri!r} is "
                "and cannot be changed"
            )
            raise ArgumentError(msg)

    def _check_size(self, key: str, value: MetadataValue) -> None:
        text = value if isinstance(value, str | bytes) else b"8 bytes."
        size = len(key.encode()) + len(text.encode() if isinstance(text, str) else text)
        total = size + sum(n for k, n in self._pending.items() if k != key)
        if total > _MAX_PENDING_BYTES:
            msg = (
                f"The metadata entry {key!r} takes {size} bytes; at most "
                f"{_MAX_PENDING_BYTES} bytes of metadata can be written to "
                f"{self._uri!r} at once. Store large data as an array."
            )
            raise ArgumentError(msg)
        self._pending[key] = size


def plain_value(value: Any) -> Any:
    """Return numpy scalars as plain Python values."""
    return value.item() if isinstance(value, np.generic) else value


def _same(a: Any, b: Any) -> bool:
    # an object is the same as itself also when it is not a number
    return a is b or (type(a) is type(b) and bool(a == b))


def _check_value(key: str, value: Any) -> MetadataValue:
    if isinstance(value, bool):
        return int(value)  # TileDB-Py has no boolean metadata
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        if "\0" in value:
            msg = f"The value of metadata entry {key!r} holds a NUL character"
            raise ArgumentError(msg)
        try:
            value.encode()
        except UnicodeEncodeError as err:
            msg = f"The value of metadata entry {key!r} is not valid Unicode text"
            raise ArgumentError(msg) from err
        return str(value)
    if isinstance(value, int | np.integer):
        if not -(2**63) <= value < 2**63:
            msg = f"The value of metadata entry {key!r} does not fit int64: {value}"
            raise ArgumentError(msg)
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value)
    msg = (
        f"A metadata value must be str, bytes, int or float; entry {key!r} got "
        f"{type(value).__name__}"
    )
    raise ArgumentTypeError(msg)
