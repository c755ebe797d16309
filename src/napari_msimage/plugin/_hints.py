"""Display hints: the one metadata entry of ours in an image, as a checked value."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from ..errors import ArgumentError, FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: The metadata key; the value is JSON text.
HINTS_KEY: Final = "napari_msimage"
HINTS_VERSION: Final = 1

#: Longer texts are taken for damage and never parsed.
_MAX_TEXT: Final = 64 * 1024
_MAX_NAME: Final = 200
_MAX_CHANNELS: Final = 4096
_COLORMAP = re.compile(r"[A-Za-z0-9 ._-]{1,64}|#[0-9A-Fa-f]{6}(?:[0-9A-Fa-f]{2})?")


def _check_name(name: str) -> str:
    text = "".join(c if c.isprintable() else " " for c in name).strip()
    if not text or len(text) > _MAX_NAME:
        msg = f"a channel name has 1 to {_MAX_NAME} printable characters, got {name!r}"
        raise ValueError(msg)
    return text


def _check_colormap(colormap: str) -> str:
    if not _COLORMAP.fullmatch(colormap):
        msg = f"a colormap is a name or '#rrggbb', got {colormap!r}"
        raise ValueError(msg)
    return colormap


def _check_limits(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        msg = f"contrast limits are two finite numbers, low < high, got {limits!r}"
        raise ValueError(msg)
    return limits


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class ChannelHints(_Model):
    """How one channel wants to be shown; what is None is left to the defaults."""

    name: Annotated[str, AfterValidator(_check_name)] | None = None
    """What the channel shows, as in "DAPI"."""
    colormap: Annotated[str, AfterValidator(_check_colormap)] | None = None
    """Name of a napari colormap, or ``#rrggbb`` for black to that colour."""
    contrast_limits: (
        Annotated[tuple[float, float], AfterValidator(_check_limits)] | None
    ) = Field(default=None, strict=False)
    """Values shown as black and as full colour, in pixel values."""
    visible: bool | None = None
    """Whether the layer starts visible."""


class DisplayHints(_Model):
    """How an image wants to be shown in napari.

    Stored as JSON text in the image's metadata under `HINTS_KEY`. Unknown fields are
    ignored, so that later versions may add some.
    """

    version: Literal[1] = 1
    """Version of this record; others are not read."""
    rgb: bool | None = None
    """True: one colour layer; False: a layer per channel; None: the default rule."""
    channels: tuple[ChannelHints, ...] = Field(
        default=(), strict=False, max_length=_MAX_CHANNELS
    )
    """Per channel, in stored order; may be shorter than the channel axis."""

    @model_validator(mode="before")
    @classmethod
    def _name_version(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("version", 1) != HINTS_VERSION:
            msg = (
                f"written by another version ({data['version']!r}; this one reads "
                f"{HINTS_VERSION})"
            )
            raise ValueError(msg)
        return data

    def channel(self, index: int) -> ChannelHints:
        """Return the hints of one channel; empty ones where none are stored."""
        return self.channels[index] if index < len(self.channels) else ChannelHints()


def hints_to_json(hints: DisplayHints) -> str:
    """Return the text to store: compact JSON with what is set."""
    record = hints.model_dump(exclude_none=True, mode="json")
    return json.dumps({"version": hints.version, **record}, ensure_ascii=False)


def hints_from_json(text: str | bytes) -> DisplayHints:
    """Return the hints stored as text.

    Raises
    ------
    FormatError
        If the text is damaged, or of a version that this one does not know.
    """
    if len(text) > _MAX_TEXT:
        msg = f"Bad display hints: {len(text)} characters, more than {_MAX_TEXT}."
        raise FormatError(msg)
    try:
        record = json.loads(text)
        if not isinstance(record, dict) or "version" not in record:
            msg = "expected a JSON object with a 'version'"
            raise ValueError(msg)
        return DisplayHints.model_validate_json(text)
    except ValidationError as err:
        raise FormatError(f"Bad display hints: {_first_problem(err)}.") from err
    except (ValueError, RecursionError) as err:
        raise FormatError(f"Bad display hints: {err}.") from err


def read_hints(metadata: Mapping[str, Any]) -> DisplayHints | None:
    """Return the hints among an image's metadata, or None when there are none.

    Raises
    ------
    FormatError
        If the entry is damaged, or of a version that this one does not know.
    """
    value = metadata.get(HINTS_KEY)
    if value is None:
        return None
    if not isinstance(value, str | bytes):
        msg = f"Bad display hints: expected text, got {type(value).__name__}."
        raise FormatError(msg)
    return hints_from_json(value)


def write_hints(uri: str, hints: DisplayHints | None, *, context: Any = None) -> None:
    """Store display hints in an image, or remove them.

    Parameters
    ----------
    uri : str
        The image.
    hints : DisplayHints or None
        What to store; None removes the entry.
    context : SOMATileDBContext, optional
        How to open the image.

    Raises
    ------
    SOMAError
        If the image cannot be opened for writing.
    """
    from ..storage import MultiscaleImage

    with MultiscaleImage.open(uri, "w", context=context) as image:
        if hints is not None:
            image.metadata[HINTS_KEY] = hints_to_json(hints)
        elif HINTS_KEY in image.metadata:
            del image.metadata[HINTS_KEY]


def make_hints(
    channels: Iterable[Mapping[str, Any]] = (), *, rgb: bool | None = None
) -> DisplayHints:
    """Return hints made from plain values.

    Parameters
    ----------
    channels : iterable of mappings
        Per channel, in stored order: any of ``name``, ``colormap``,
        ``contrast_limits`` (low, high) and ``visible``.
    rgb : bool, optional
        Whether to show one colour layer.

    Raises
    ------
    ArgumentError
        If a value is not allowed.
    """
    records = [dict(channel) for channel in channels]
    known = set(ChannelHints.model_fields)
    if odd := sorted(set().union(*records) - known):
        msg = f"Display hints of a channel are {sorted(known)}, got {odd[0]!r} too."
        raise ArgumentError(msg)
    try:
        return DisplayHints(
            rgb=rgb, channels=tuple(ChannelHints(**record) for record in records)
        )
    except ValidationError as err:
        raise ArgumentError(f"Bad display hints: {_first_problem(err)}.") from err


def _first_problem(err: ValidationError) -> str:
    """Say in one line where the first problem is, and what it is."""
    problem = err.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    text = problem["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{place}: {text}" if place else text
