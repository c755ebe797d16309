"""From a wish to what is written: the plan of saving layers, and the run; no Qt."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from ..engines import SceneToWrite
from ..errors import ArgumentError, SOMAError
from ._layer_source import WRITTEN_TYPES
from ._save_axes import with_axes
from ._save_wish import storage_config
from ._write_layers import write_plan
from ._write_plan import LayersPlan, plan_layers_to_write

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from ..engines import ImageToWrite, Progress
    from ._save_wish import LayerParts, SaveWish, Storage
    from ._write_watch import LayerWatch

#: Arguments of `write_layers` in its messages, as the form calls them.
_WORDS: Final = {
    "without channels=True, as images of a scene": "as separate images",
    "without channels=True": "as separate images",
    "say which with channel_axis=...": "choose it under Channels",
    "say which with channel_axis": "choose it under Channels",
    "Use 'all', 'current' or one of these.": "Choose another one under Levels.",
    "Set layer.units and layer.scale of one of them, or save them one by one.": (
        "Untick one of them, and save them one by one."
    ),
}


def plan_to_save(layers: Sequence[LayerParts], wish: SaveWish) -> LayersPlan:
    """Decide what layers become; reads no pixels, in any thread.

    Parameters
    ----------
    layers : sequence of LayerParts
        Bottom to top; those that cannot be saved are left out, and named in the plan.
    wish : SaveWish
        How to save them.

    Raises
    ------
    SOMAError
        If a wish makes no sense, or a layer cannot be saved; worded for the form.
    """
    try:
        _check_some(layers)
        placed = with_axes(layers, wish.axes, wish.channel_axis)
        plan = plan_layers_to_write(
            placed,
            channels=wish.as_channels,
            channel_axis=wish.channel_axis,
            levels=wish.levels,
            more_levels=wish.more_levels,
            method=wish.method,
        )
    except SOMAError as err:
        raise worded_for_the_form(err) from err
    return dataclasses.replace(plan, what=_stored(plan.what, wish.storage))


def save_layers(
    layers: Sequence[LayerParts], wish: SaveWish, watch: LayerWatch | None = None
) -> Generator[Progress, None, tuple[str, ...]]:
    """Save layers; an engine, for a thread of its own.

    It stops when `watch` notices that a layer is not what it was.

    Yields
    ------
    Progress
        Bytes of pixels passed over, and to be passed over.

    Returns
    -------
    tuple of str
        Address of what was written: one entry.
    """
    plan = plan_to_save(layers, wish)
    written: tuple[str, ...] = yield from write_plan(
        wish.destination.strip(), plan, replace=wish.replace, watch=watch
    )
    return written


def images_to_write(what: ImageToWrite | SceneToWrite) -> Mapping[str, ImageToWrite]:
    """Return the images by name; an image by itself has the name ``""``."""
    return what.images if isinstance(what, SceneToWrite) else {"": what}


def worded_for_the_form(err: SOMAError) -> SOMAError:
    """Return an error whose message speaks of fields instead of arguments."""
    text = str(err)
    for argument, words in _WORDS.items():
        text = text.replace(argument, words)
    return err if text == str(err) else type(err)(text)


def _check_some(layers: Sequence[LayerParts]) -> None:
    if not any(kind in WRITTEN_TYPES for _, _, kind in layers):
        msg = "Tick the layers to be saved in the list above."
        if not layers:
            raise ArgumentError(msg)
        skipped = ", ".join(repr(attributes.get("name")) for _, attributes, _ in layers)
        msg = f"{skipped} cannot be saved; only image and labels layers can. {msg}"
        raise ArgumentError(msg)


def _stored(
    what: ImageToWrite | SceneToWrite, storage: Storage
) -> ImageToWrite | SceneToWrite:
    """Return what is to be written, with tile extents and filters."""
    if isinstance(what, SceneToWrite):
        images = {
            name: _stored_image(one, storage) for name, one in what.images.items()
        }
        return dataclasses.replace(what, images=images)
    return _stored_image(what, storage)


def _stored_image(image: ImageToWrite, storage: Storage) -> ImageToWrite:
    config = storage_config(
        storage, len(image.data_axis_order), image.levels[0].dtype.itemsize
    )
    return dataclasses.replace(image, platform_config=config)
