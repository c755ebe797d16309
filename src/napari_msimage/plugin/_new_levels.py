"""Shows the levels that an image has now in its open layers, in place.

`facts_of_layers` and `put_levels` run in the window's thread, `read_levels` in any:
a slow server never stops the window.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import threading
from typing import TYPE_CHECKING, Any, Final

from ..errors import SOMAError
from . import _layers
from ._image_levels import check_inside, levels_and_limits, stored_levels
from ._level_view import LevelView, ReadFailures
from ._looks import is_labels_layer
from ._notices import run_soon
from ._open import OpenRequest, failures_of, name_of, request_of

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable

    from ..engines import LevelPlan, Progress

_LOGGER = logging.getLogger(__name__)

_WAIT_S: Final = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class OpenImage:
    """An image that levels can be made of."""

    name: str
    """For the user."""
    address: str
    """Normalised, so that two ways to write it compare equal."""
    request: OpenRequest
    """How to open it."""

    @property
    def is_past(self) -> bool:
        """Whether it is shown as it was at some time."""
        return is_past(self.request)


def is_past(request: OpenRequest) -> bool:
    """Tell whether a request is for an image as it was at some time."""
    context = request.context
    in_context = context is not None and context.timestamp_ms is not None
    return in_context or request.tiledb_timestamp is not None


def image_at(uri: str) -> OpenImage:
    """Return the image at an address that nobody has opened yet."""
    return _open_image(OpenRequest(uri.strip()))


def image_of_layer(layer: Any) -> OpenImage | None:
    """Return the image that a layer shows; None for layers of others."""
    found = request_of(layer)
    return _open_image(found[1]) if found else None


def _open_image(request: OpenRequest) -> OpenImage:
    from ..storage import normalize_uri

    return OpenImage(name_of(request), normalize_uri(request.uri), request)


def images_in(layers: Iterable[Any]) -> list[OpenImage]:
    """Return the images that layers show, each once.

    An image that is also shown as it was at some time is there as it is now.
    """
    found: dict[str, OpenImage] = {}
    for layer in layers:
        image = image_of_layer(layer)
        if image is not None and (
            image.address not in found or found[image.address].is_past
        ):
            found[image.address] = image
    return list(found.values())


# Layers ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class LayerFacts:
    """What has to be known of a layer to read its levels anew."""

    layer: Any
    """The layer."""
    image_id: str
    """Same for all layers that were opened together."""
    request: OpenRequest
    """How they were opened."""
    rgb: bool
    """Whether it shows colours."""
    channel: int | None
    """Which channel it shows otherwise."""
    name: str
    """Of the image."""


def facts_of_layers(address: str) -> list[LayerFacts]:
    """Return the layers that show an image as it is now, of all viewers, each once.

    Parameters
    ----------
    address : str
        Normalised.
    """
    from ._overview_job import open_viewers

    layers = {id(layer): layer for v in open_viewers() for layer in list(v.layers)}
    found = []
    for layer in layers.values():
        image = image_of_layer(layer)
        if image is None or image.address != address or image.is_past:
            continue
        image_id, request = request_of(layer) or ("", image.request)
        channel = layer.metadata[_layers.LAYER_METADATA_KEY].get("channel")
        rgb = bool(getattr(layer, "rgb", False))
        found.append(LayerFacts(layer, image_id, request, rgb, channel, image.name))
    return found


def read_levels(
    facts: Iterable[LayerFacts], without: Collection[str] = ()
) -> list[tuple[LayerFacts, list[Any]]]:
    """Return the levels that layers should show; an image that fails is left out.

    Parameters
    ----------
    facts : iterable of LayerFacts
        The layers.
    without : collection of str
        Keys of levels that they should not show.
    """
    by_image: dict[str, list[LayerFacts]] = {}
    for fact in facts:
        by_image.setdefault(fact.image_id, []).append(fact)
    found = []
    for group in by_image.values():
        try:
            found += _read_levels_of(group, without)
        except SOMAError as err:
            _LOGGER.warning("The layers of %r stay as they are: %s", group[0].name, err)
    return found


def _read_levels_of(
    group: list[LayerFacts], without: Collection[str]
) -> list[tuple[LayerFacts, list[Any]]]:
    from ..storage import MultiscaleImage

    request = group[0].request
    failures = failures_of(group[0].image_id, group[0].name)
    n_images = request.place.n_images if request.place else 1
    found = []
    with MultiscaleImage.open(request.uri, context=request.context) as image:
        if not request.allow_outside:
            check_inside(image)
        stored, notes = stored_levels(image, without)
        for fact in group:
            levels, _ = levels_and_limits(
                image,
                stored,
                rgb=fact.rgb,
                channel=fact.channel,
                name=fact.name,
                n_sharing=len(group) * n_images,
                is_labels=is_labels_layer(fact.layer),
            )
            found.append((fact, [LevelView(level, failures) for level in levels]))
    for note in notes:
        _LOGGER.warning("%s", note)
    return found


def put_levels(found: Iterable[tuple[LayerFacts, list[Any]]]) -> None:
    """Show levels in their layers; looks, camera and selection stay as they are.

    Layers that were removed meanwhile are left alone.
    """
    from ._overview_job import open_viewers

    present = {id(layer) for viewer in open_viewers() for layer in viewer.layers}
    for fact, levels in found:
        if id(fact.layer) in present:
            put_levels_of(fact.layer, levels)


def show_present_levels(address: str) -> None:
    """Show the levels an image has now in all its open layers, a little later.

    Called in the window's thread, which goes on while the image is read.

    Parameters
    ----------
    address : str
        Normalised.
    """
    facts = facts_of_layers(address)
    if facts:
        threading.Thread(
            target=_read_and_put, args=(facts,), name="napari-msimage levels of layers"
        ).start()


def _read_and_put(facts: list[LayerFacts]) -> None:
    found = read_levels(facts)
    run_soon(functools.partial(put_levels, found))


def put_levels_of(layer: Any, levels: list[Any]) -> None:
    """Show levels in one layer.

    A locked level stays locked if there is one of its shape, and is unlocked otherwise.
    """
    from ._overview_job import display_of, watch_new_display

    locked = layer.locked_data_level
    locked_shape = None if locked is None else tuple(layer.data[locked].shape)
    had_display = display_of(layer) is not None
    _keep_failures(layer, levels)
    layer.data = _layers.unguessed(levels) if is_labels_layer(layer) else levels
    if not had_display and display_of(layer) is not None:
        watch_new_display(layer)
    shapes = [tuple(level.shape) for level in levels]
    if locked_shape in shapes:
        layer.locked_data_level = shapes.index(locked_shape)
    elif locked is not None:
        layer.events.locked_data_level()  # napari has unlocked it without telling


def _keep_failures(layer: Any, levels: list[Any]) -> None:
    """Go on with the record of failed reads that the layer has."""
    old = getattr(layer.data[0], "failures", None)
    if isinstance(old, ReadFailures):
        for level in levels:
            level.failures = old


# The run --------------------------------------------------------------------------


def make_levels(
    image: OpenImage, plan: LevelPlan, client: str | None, facts: list[LayerFacts]
) -> Generator[Progress, None, tuple[str, ...]]:
    """Make the levels of a plan; an engine, for a thread of its own.

    Levels that are replaced are taken off the screen first, so that nothing reads
    arrays that go away.

    Parameters
    ----------
    image : OpenImage
        The image.
    plan : LevelPlan
        What to make.
    client : str, optional
        Address of a dask scheduler.
    facts : list of LayerFacts
        The layers that show the image.

    Yields
    ------
    Progress
        Bytes of the source passed over, and to be passed over.

    Returns
    -------
    tuple of str
        Keys of the new levels.
    """
    from .. import engines

    replaced = [level.key for level in plan.levels if level.replaces]
    if replaced and facts:
        yield from _take_off(read_levels(facts, replaced))
    keys: tuple[str, ...] = yield from engines.write_levels(
        image.request.uri, plan, client=client, context=image.request.context
    )
    return keys


def _take_off(
    found: list[tuple[LayerFacts, list[Any]]],
) -> Generator[Progress, None, None]:
    """Have the window's thread show other levels; wait until it does."""
    from ..engines import Progress

    is_done = threading.Event()

    def put() -> None:
        try:
            put_levels(found)
        finally:
            is_done.set()

    run_soon(put)
    while not is_done.wait(_WAIT_S):
        yield Progress(0, 0)
