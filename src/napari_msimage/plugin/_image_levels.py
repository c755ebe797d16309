"""The levels of an image that napari gets: which, in what form, and from where."""

from __future__ import annotations

import dataclasses
import functools
import logging
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import ConsentError, FormatError, SOMAError
from . import _layers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ..storage import LevelArray, MultiscaleImage
    from ._layers import ImagePlan, LayerPlan

_LOGGER = logging.getLogger(__name__)

#: napari reads the coarsest level whole; as a volume, its sides may be this long.
_SMALL_BYTES: Final = 16 * 2**20
_SMALL_SIDE: Final = 2048


def check_inside(image: MultiscaleImage) -> None:
    """Refuse an image with levels outside its folder, naming them."""
    outside = image.members_outside()
    if not outside:
        return
    named = "; ".join(f"{key!r} at {uri!r}" for key, uri in outside.items())
    msg = (
        f"The image at {image.uri!r} keeps levels outside its own folder: {named}. "
        "Reading them uses your permissions. If you trust the image, open it with "
        "napari_msimage.plugin.open_image(uri, allow_outside=True)."
    )
    raise ConsentError(msg, outside)


def stored_levels(
    image: MultiscaleImage, without: Collection[str] = ()
) -> tuple[list[LevelArray], list[str]]:
    """Return the levels that napari can switch between, finest first, and notes.

    A coarser level that is damaged is left out with a note.

    Parameters
    ----------
    image : MultiscaleImage
        An open image.
    without : collection of str
        Keys of levels to leave out; not the finest.

    Raises
    ------
    SOMAError
        If the reference level, which places the others, is damaged.
    """
    levels: dict[str, LevelArray] = {}
    notes = []
    for index, (key, (uri, shape)) in enumerate(image.levels().items()):
        if key in without:
            continue
        try:
            levels[key] = _checked_level(image, index, uri, shape)
        except SOMAError as err:
            if index == 0:
                raise
            notes.append(f"Level {key!r} is left out: {err}")
    found = list(levels.values())
    kept = _layers.display_levels_of([level.shape for level in found])
    return [found[i] for i in kept], notes


def _checked_level(
    image: MultiscaleImage, index: int, uri: str, shape: tuple[int, ...]
) -> LevelArray:
    """Return a level whose array is as the image's metadata says."""
    level = image.level_array(index)
    if level.shape != shape or level.dtype != image.dtype:
        msg = (
            f"The array at {uri!r} has shape {level.shape} and type {level.dtype}; the "
            f"image's metadata says {shape} and {image.dtype}. Restore a copy, or, if "
            "the array was resized on purpose, correct the metadata of the level."
        )
        raise FormatError(msg)
    return level


def levels_to_show(
    image: MultiscaleImage,
    stored: list[LevelArray],
    plan: ImagePlan,
    layer: LayerPlan,
    *,
    n_images: int = 1,
) -> tuple[list[Any], LayerPlan]:
    """Return the levels of one layer for napari, and its plan with contrast limits.

    A small image is shown as it is stored; a larger one through a display, which adds
    what small levels it lacks and keeps any one read small. `n_images` that are opened
    together share the memory for that.
    """
    levels, find_limits = levels_and_limits(
        image,
        stored,
        rgb=layer.rgb,
        channel=layer.channel,
        name=plan.name,
        n_sharing=len(plan.layers) * n_images,
        is_labels=layer.is_labels,
    )
    if layer.needs_limits:
        limits = _found_or_full(find_limits, image.dtype)
        layer = dataclasses.replace(layer, contrast_limits=limits)
    return levels, layer


def levels_and_limits(
    image: MultiscaleImage,
    stored: list[LevelArray],
    *,
    rgb: bool,
    channel: int | None,
    name: str,
    n_sharing: int,
    is_labels: bool = False,
) -> tuple[list[Any], Callable[[], tuple[float, float]]]:
    """Return the levels of one layer for napari, and how to find contrast limits.

    Parameters
    ----------
    image : MultiscaleImage
        An open image.
    stored : list of LevelArray
        Its levels, finest first.
    rgb : bool
        Whether the layer shows colours.
    channel : int, optional
        Which channel it shows otherwise.
    name : str
        Name of the image, for messages.
    n_sharing : int
        How many layers show the image; they share the memory for overviews.
    is_labels : bool
        Whether the layer shows labels, of which no means are made.
    """
    from ..engines import MAX_READ_BYTES
    from ._contrast import find_contrast_limits
    from ._overview_job import make_display, starting_contrast_limits

    views = _views(image, stored, rgb=rgb, channel=channel)
    finest, coarsest = views[0], views[-1]
    is_small = max(coarsest.shape) <= _SMALL_SIDE and coarsest.nbytes <= _SMALL_BYTES
    if is_small and finest.nbytes <= MAX_READ_BYTES:
        return views, functools.partial(find_contrast_limits, coarsest)
    display = make_display(
        views, rgb=rgb, name=name, n_sharing=n_sharing, is_labels=is_labels
    )
    return list(display.levels), functools.partial(starting_contrast_limits, display)


def _views(
    image: MultiscaleImage, stored: list[LevelArray], *, rgb: bool, channel: int | None
) -> list[Any]:
    """Return a layer's own view of each level."""
    if rgb:
        return [_layers.rgb_view(level, image) for level in stored]
    return [_layers.channel_view(level, image, channel or 0) for level in stored]


def _found_or_full(
    find_limits: Callable[[], tuple[float, float]], dtype: np.dtype[Any]
) -> tuple[float, float]:
    """Return contrast limits; the full range where the pixels cannot be read."""
    try:
        return find_limits()
    except SOMAError as err:
        _LOGGER.warning("Contrast limits could not be found: %s", err)
    return (0.0, float(np.iinfo(dtype).max) if dtype.kind in "ui" else 1.0)
