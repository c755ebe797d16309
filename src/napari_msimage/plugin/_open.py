"""From a URI to layer tuples, and to layers in a viewer."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import uuid
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConsentError, DoesNotExistError, FormatError, SOMAError
from . import _layers
from ._hints import DisplayHints, read_hints
from ._image_levels import check_inside, levels_to_show, stored_levels
from ._level_view import LevelView, ReadFailures
from ._look_arguments import set_late_attributes
from ._notices import ask_about_outside, is_interactive, run_soon, tell

if TYPE_CHECKING:
    from ..storage import LevelArray, MultiscaleImage, SOMATileDBContext
    from ._layers import ImagePlan, LayerTuple
    from ._scene_place import ScenePlace


@dataclasses.dataclass(frozen=True, slots=True)
class OpenRequest:
    """How an image is opened; enough to open it again."""

    uri: str
    """As the user gave it."""
    rgb: bool | None = None
    """One colour layer, a layer per channel, or as the hints and the rule say."""
    allow_outside: bool = False
    """Whether levels outside the image's folder may be read."""
    context: SOMATileDBContext | None = None
    """TileDB settings."""
    tiledb_timestamp: Any = None
    """Show the image as of this time."""
    place: ScenePlace | None = None
    """Name and place that an image of a scene or a collection has there."""


_FAILING_SUFFIX: Final = " (cannot be read)"
_SETTINGS_DELAY_MS: Final = 1000
#: What was opened, by the id in ``layer.metadata``: layers carry plain values only.
_REQUESTS: dict[str, OpenRequest] = {}


def open_image(
    uri: str | os.PathLike[str],
    viewer: Any = None,
    *,
    rgb: bool | None = None,
    allow_outside: bool = False,
    context: SOMATileDBContext | None = None,
    tiledb_timestamp: Any = None,
) -> list[Any]:
    """Open a SOMA multiscale image in napari, or all images of a scene.

    World coordinates are those of the image, or of the scene, with the axes reversed:
    every image of a scene lies where its registered transform puts it, in the scene's
    units. One without a usable transform lies in its own pixels, which a note says.

    Parameters
    ----------
    uri : str or path
        Folder or URI of an image, a scene, a collection of images or scenes, or an
        experiment; ``~`` and ``file://`` are understood. Of several scenes the first
        is shown, the others are hidden.
    viewer : napari.Viewer, optional
        Where to; the current viewer, or a new one where there is none.
    rgb : bool, optional
        True: one colour layer; False: one layer per channel. By default what the
        image's hints say, and else colour for uint8 with 3 or 4 channels.
    allow_outside : bool
        Whether levels outside the image's own folder may be read, and images outside
        the folder of their scene.
    context : SOMATileDBContext, optional
        TileDB settings such as credentials.
    tiledb_timestamp : int or datetime.datetime, optional
        Show the image as it was then (ms since 1970-01-01 UTC, or a datetime).

    Returns
    -------
    list of napari.layers.Image or napari.layers.Labels
        Added to the viewer, bottom to top.

    Raises
    ------
    ConsentError
        If something is outside the folder and `allow_outside` is False.
    SOMAError
        If there is no image, it is damaged, or napari cannot show it. Of several images
        only those are left out, with a note, unless all are.
    """
    request = OpenRequest(os.fspath(uri), rgb, allow_outside, context, tiledb_timestamp)
    return add_layers(viewer or _current_viewer(), read_layers(request))


def add_layers(viewer: Any, layers: list[LayerTuple]) -> list[Any]:
    """Add layer tuples to a viewer; return the layers."""
    from ._overview_job import watch_open_viewers

    # the tuples may come from another thread, which leaves the viewers alone
    watch_open_viewers()
    added = []
    for data, kwargs, kind in layers:
        layer = getattr(viewer, f"add_{kind}")(data, **kwargs)
        set_late_attributes(layer, _layers.LAYER_METADATA_KEY)
        added.append(layer)
    return added


def _current_viewer() -> Any:
    import napari

    return napari.current_viewer() or napari.Viewer()


def read_layers_or_tell(uri: str) -> list[LayerTuple]:
    """Return the layers of an address; ask and tell where a person is waiting.

    Raises
    ------
    SOMAError
        If nobody is there to be told; see `is_interactive`.
    """
    from ._open_replaced import offer_to_restore

    request = OpenRequest(uri)
    try:
        if is_interactive():
            offer_to_restore(uri)
        return read_layers(request)
    except ConsentError as err:
        if not is_interactive():
            raise
        if not ask_about_outside(uri, err.members):
            return []
    except SOMAError as err:
        if not is_interactive():
            raise
        tell(str(err), "error")
        return []
    try:
        return read_layers(dataclasses.replace(request, allow_outside=True))
    except SOMAError as err:
        tell(str(err), "error")
        return []


def read_layers(request: OpenRequest) -> list[LayerTuple]:
    """Open what a request names and return its layers, bottom to top.

    Pixels are read of the coarsest levels only.

    Raises
    ------
    ConsentError
        If something is outside the folder and that was not allowed.
    SOMAError
        If there is no image, it is damaged, or napari cannot show it.
    """
    from ..storage import MultiscaleImage
    from ._open_replaced import explain_missing, notes_on_place
    from ._scene_walk import container_kind
    from ._settings import apply_settings

    # napari reads the manifests of all plugins for it: not before the first frame
    run_soon(apply_settings, delay_ms=_SETTINGS_DELAY_MS)
    try:
        image = MultiscaleImage.open(
            request.uri,
            context=request.context,
            tiledb_timestamp=request.tiledb_timestamp,
        )
    except DoesNotExistError as err:
        explained = explain_missing(request.uri)
        if explained is None:
            raise
        raise explained from err
    except FormatError:
        kind = container_kind(request.uri, request.context)
        if kind is None:
            raise
        from ._open_scene import read_scene

        layers, notes = read_scene(request, kind)
    else:
        with image:
            layers, notes = read_image(image, request)
    for note in (*notes, *notes_on_place(request.uri)):
        tell(note)
    return layers


def read_image(
    image: MultiscaleImage, request: OpenRequest
) -> tuple[list[LayerTuple], list[str]]:
    """Return the layers of an open image, and notes for the user.

    Parameters
    ----------
    image : MultiscaleImage
        What the request names.
    request : OpenRequest
        How it is opened, now and again.

    Raises
    ------
    ConsentError
        If levels are outside the image's folder and that was not allowed.
    SOMAError
        If it is damaged, or napari cannot show it.
    """
    if not request.allow_outside:
        check_inside(image)
    hints, notes = hints_of(image)
    place = request.place
    plan = _layers.plan_layers(
        image,
        hints,
        name=name_of(request),
        rgb=request.rgb,
        matrix=place.matrix if place else None,
        world=place,
    )
    stored, more = stored_levels(image)
    layers = _make_layers(image, stored, plan, request)
    if any(layer.late for layer in plan.layers):
        _watch_for_late_attributes()
    return layers, [*notes, *more, *plan.notes]


def _watch_for_late_attributes() -> None:
    """See to it that layers napari itself adds get what its constructors lack."""
    from ._overview_job import watch_open_viewers

    watch_open_viewers()


def request_of(layer: Any) -> tuple[str, OpenRequest] | None:
    """Return the image id and the request that made a layer; None for others."""
    return request_of_entry(layer.metadata.get(_layers.LAYER_METADATA_KEY))


def request_of_entry(entry: Any) -> tuple[str, OpenRequest] | None:
    """Return the same for what our reader left in a layer's metadata."""
    image_id = entry.get("image_id") if isinstance(entry, dict) else None
    request = _REQUESTS.get(image_id) if isinstance(image_id, str) else None
    return (image_id, request) if image_id and request else None


def _show_failure(image_id: str, text: str | None) -> None:
    """Tell that an image cannot be read, and mark its layers until it can again."""
    if text is not None:
        tell(text, "warning")
    run_soon(functools.partial(_mark_layers, image_id, is_failing=text is not None))


def _mark_layers(image_id: str, *, is_failing: bool) -> None:
    """Write on the canvas which layers cannot be read; take that away again."""
    import napari

    viewer = napari.current_viewer()
    for layer in viewer.layers if viewer is not None else ():
        if (request_of(layer) or ("",))[0] == image_id:
            name = layer.name.removesuffix(_FAILING_SUFFIX)
            layer.name = name + _FAILING_SUFFIX if is_failing else name
            layer.name_overlay.visible = is_failing


def name_of(request: OpenRequest) -> str:
    """Return the name of the image that a request is for."""
    return request.place.name if request.place else image_name(request.uri)


def image_name(uri: str) -> str:
    """Return a name for an image: the last part of its URI, without ``.soma``."""
    parts = [part for part in re.split(r"[/\\]", uri) if part not in ("", ".")]
    name = parts[-1] if parts else uri
    return re.sub(r"(?i)(?<=.)\.(soma|tdb|tiledb)$", "", name)


def failures_of(image_id: str, name: str) -> ReadFailures:
    """Return a record of failed reads that marks the image's layers."""
    return ReadFailures(name, functools.partial(_show_failure, image_id))


def hints_of(image: MultiscaleImage) -> tuple[DisplayHints | None, list[str]]:
    """Return the image's display hints, and notes on damaged ones."""
    left_out: list[str] = []
    try:
        hints = read_hints(image.metadata, left_out)
    except FormatError as err:
        return None, [f"{err} They are ignored; {image.uri!r} opens without them."]
    if not left_out:
        return hints, []
    damaged = "; ".join(left_out[:3])
    return hints, [f"Some display hints of {image.uri!r} are ignored: {damaged}."]


def _make_layers(
    image: MultiscaleImage,
    stored: list[LevelArray],
    plan: ImagePlan,
    request: OpenRequest,
) -> list[LayerTuple]:
    """Return the layer tuples of a plan."""
    image_id = uuid.uuid4().hex
    _REQUESTS[image_id] = request
    failures = failures_of(image_id, plan.name)
    n_images = request.place.n_images if request.place else 1
    result = []
    for layer in plan.layers:
        levels, complete = levels_to_show(image, stored, plan, layer, n_images=n_images)
        entry = {
            "uri": request.uri,
            "image_id": image_id,
            "image_name": plan.name,
            "channel": layer.channel,
        }
        result.append(
            _layers.layer_tuple(
                plan,
                complete,
                [LevelView(level, failures) for level in levels],
                metadata={_layers.LAYER_METADATA_KEY: entry},
            )
        )
    return result
