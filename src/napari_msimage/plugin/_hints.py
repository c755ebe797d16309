"""Display hints: the one metadata entry of ours in an image, as a checked value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field, ValidationError, model_validator

from ..errors import ArgumentError, FormatError
from ._hint_fields import (
    ChannelName,
    ColormapName,
    LayerHints,
    LenientLayer,
    LenientLayerType,
    LenientOrder,
    LenientPlacement,
    Limits,
    Record,
    problem_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: The metadata key; the value is JSON text.
HINTS_KEY: Final = "napari_msimage"
HINTS_VERSION: Final = 1

#: Longer texts are taken for damage and never parsed.
MAX_HINTS_BYTES: Final = 64 * 1024
_MAX_CHANNELS: Final = 4096


class ChannelHints(LayerHints):
    """How one channel wants to be shown; what is None is left to the defaults."""

    name: ChannelName | None = None
    """What the channel shows, as in "DAPI"."""
    colormap: ColormapName | None = None
    """Name of a napari colormap, or ``#rrggbb`` for black to that colour."""
    contrast_limits: Limits | None = None
    """Values shown as black and as full colour, in pixel values."""


class DisplayHints(Record):
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
    layer_type: LenientLayerType = None
    """Whether integers are labels or an image; None: an image."""
    layer: LenientLayer = None
    """Looks of the one layer that shows colours or labels."""
    placement: LenientPlacement = None
    """The layer's transform as it was, where the stored one says less."""
    order: LenientOrder = None
    """Position among the layers of a scene, from the bottom."""

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


def hints_from_json(text: str | bytes, notes: list[str] | None = None) -> DisplayHints:
    """Return the hints stored as text.

    Parameters
    ----------
    text : str or bytes
        JSON.
    notes : list of str, optional
        Gets a line per damaged value that was left out, as in
        ``"gamma: Input should be greater than 0"``.

    Raises
    ------
    FormatError
        If the text is damaged, or of a version that this one does not know.
    """
    if len(text) > MAX_HINTS_BYTES:
        msg = f"Bad display hints: {len(text)} characters, more than {MAX_HINTS_BYTES}."
        raise FormatError(msg)
    left_out: list[str] = [] if notes is None else notes
    try:
        record = json.loads(text)
        if not isinstance(record, dict) or "version" not in record:
            msg = "expected a JSON object with a 'version'"
            raise ValueError(msg)
        return DisplayHints.model_validate_json(text, context=left_out)
    except ValidationError as err:
        raise FormatError(f"Bad display hints: {problem_of(err)}.") from err
    except (ValueError, RecursionError) as err:
        raise FormatError(f"Bad display hints: {err}.") from err


def read_hints(
    metadata: Mapping[str, Any], notes: list[str] | None = None
) -> DisplayHints | None:
    """Return the hints among an image's metadata, or None when there are none.

    Parameters
    ----------
    metadata : mapping
        The image's.
    notes : list of str, optional
        Gets a line per damaged value that was left out.

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
    return hints_from_json(value, notes)


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
        ``contrast_limits`` (low, high), ``visible`` and the other fields of
        `ChannelHints`.
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
        raise ArgumentError(f"Bad display hints: {problem_of(err)}.") from err
