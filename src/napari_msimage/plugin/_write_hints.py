"""The metadata entry of an image to be written: its layers' looks, small enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ._hint_fields import LayerHints
from ._hints import (
    HINTS_KEY,
    MAX_HINTS_BYTES,
    ChannelHints,
    DisplayHints,
    hints_to_json,
)
from ._layer_transform import trim_placement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._hint_fields import Placement
    from ._layer_source import LayerSource

#: What is kept of channels whose looks do not fit into the entry.
_FEW_FIELDS: Final = {
    "name",
    "layer_name",
    "colormap",
    "contrast_limits",
    "visible",
    "blending",
}

#: What every layer gets of the one that had a channel axis.
_SHARED: Final = (
    "axis_labels",
    "contrast_limits",
    "contrast_limits_range",
    "gamma",
    "user_metadata",
)


def hints_of_source(source: LayerSource, order: int | None = None) -> DisplayHints:
    """Return the hints of an image that one layer becomes.

    Parameters
    ----------
    source : LayerSource
        The layer.
    order : int, optional
        Its position in a scene, from the bottom.
    """
    shared: dict[str, Any] = {
        "placement": _trimmed(source.placement, source),
        "order": order,
    }
    if source.is_labels or source.rgb:
        fields = LayerHints.model_fields
        whole = LayerHints(**{name: getattr(source.hints, name) for name in fields})
        if source.is_labels:
            return DisplayHints(layer_type="labels", layer=whole, **shared)
        return DisplayHints(rgb=True, layer=whole, **shared)
    if source.channel_axis is None:
        return DisplayHints(rgb=False, channels=(source.hints,), **shared)
    # one layer becomes one per channel: only what makes sense for each of them
    one = ChannelHints(**{name: getattr(source.hints, name) for name in _SHARED})
    n_channels = source.shapes[0][source.channel_axis]
    return DisplayHints(rgb=False, channels=(one,) * n_channels, **shared)


def hints_of_channels(
    sources: Sequence[LayerSource], order: int | None = None
) -> DisplayHints:
    """Return the hints of an image that has a channel per layer."""
    channels = tuple(
        source.hints.model_copy(update={"name": channel_name(source.name)})
        for source in sources
    )
    first = sources[0]
    return DisplayHints(
        rgb=False,
        channels=channels,
        placement=_trimmed(first.placement, first),
        order=order,
    )


def channel_name(name: str) -> str | None:
    """Return a layer's name as the name of a channel, None if it is none."""
    text = "".join(c if c.isprintable() else " " for c in name).strip()[:200].strip()
    return text or None


def hints_metadata(
    hints: DisplayHints, subject: str
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the metadata entry for hints, and notes on what did not fit into it.

    Parameters
    ----------
    hints : DisplayHints
        Of any size.
    subject : str
        Which layer, for the notes.
    """
    steps: tuple[tuple[str, Callable[[LayerHints], LayerHints]], ...] = (
        ("its metadata", _without("user_metadata")),
        ("its own colours", _without("custom_colormap", "label_colors")),
        ("most of how it looks", _few),
    )
    notes: list[str] = []
    text = hints_to_json(hints)
    for what, shrink in steps:
        if _fits(text):
            break
        notes.append(_note(subject, what))
        hints = _shrunk(hints, shrink)
        text = hints_to_json(hints)
    while not _fits(text):
        notes[-1] = _note(subject, "how its last channels look")
        channels = hints.channels[: len(hints.channels) * 3 // 4]
        hints = hints.model_copy(update={"channels": channels})
        text = hints_to_json(hints)
    return {HINTS_KEY: text}, tuple(notes)


def _trimmed(placement: Placement | None, source: LayerSource) -> Placement | None:
    return placement and trim_placement(placement, len(source.axis_names))


def _fits(text: str) -> bool:
    return len(text.encode()) <= MAX_HINTS_BYTES


def _note(subject: str, what: str) -> str:
    return (
        f"{subject} comes with more than {MAX_HINTS_BYTES // 1024} KiB of settings; "
        f"{what} will not be stored."
    )


def _shrunk(
    hints: DisplayHints, shrink: Callable[[LayerHints], LayerHints]
) -> DisplayHints:
    return hints.model_copy(
        update={
            "layer": hints.layer and shrink(hints.layer),
            "channels": tuple(shrink(channel) for channel in hints.channels),
        }
    )


def _without(*names: str) -> Callable[[LayerHints], LayerHints]:
    def shrink(hint: LayerHints) -> LayerHints:
        return hint.model_copy(update=dict.fromkeys(names))

    return shrink


def _few(hint: LayerHints) -> LayerHints:
    others = set(type(hint).model_fields) - _FEW_FIELDS
    return hint.model_copy(update=dict.fromkeys(others))
