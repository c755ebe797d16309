"""From a URI to layer tuples, and to layers in a viewer."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import uuid
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConsentError, FormatError, SOMAError
from . import _layers
from ._hints import DisplayHints, read_hints
from ._image_levels import check_inside, levels_to_show, stored_levels
from ._level_view import LevelView, ReadFailures
from ._notices import ask_about_outside, is_interactive, run_soon, tell

if TYPE_CHECKING:
    from ..storage import LevelArray, MultiscaleImage, SOMATileDBContext
    from ._layers import ImagePlan, LayerTuple


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
    """Open a SOMA multiscale image in napari.

    Parameters
    ----------
    uri : str or path
        Folder or URI of the image; ``~`` and ``file://`` are understood.
    viewer : napari.Viewer, optional
        Where to; the current viewer, or a new one where there is none.
    rgb : bool, optional
        True: one colour layer; False: one layer per channel. By default what the
        image's hints say, and else colour for uint8 with 3 or 4 channels.
    allow_outside : bool
        Whether levels outside the image's own folder may be read.
    context : SOMATileDBContext, optional
        TileDB settings such as credentials.
    tiledb_timestamp : int or datetime.datetime, optional
        Show the image as it was then (ms since 1970-01-01 UTC, or a datetime).

    Returns
    -------
    list of napari.layers.Image
        Added to the viewer, bottom to top.

    Raises
    ------
    ConsentError
        If levels are outside the image's folder and `allow_outside` is False.
    SOMAError
        If it is not an image, is damaged, or napari cannot show it.
    """
    request = OpenRequest(os.fspath(uri), rgb, allow_outside, context, tiledb_timestamp)
    return add_layers(viewer or _current_viewer(), read_layers(request))


def add_layers(viewer: Any, layers: list[LayerTuple]) -> list[Any]:
    """Add layer tuples to a viewer; return the layers."""
    from ._overview_job import watch_open_viewers

    # the tuples may come from another thread, which leaves the viewers alone
    watch_open_viewers()
    return [viewer.add_image(data, **kwargs) for data, kwargs, _ in layers]


def _current_viewer() -> Any:
    import napari

    return napari.current_viewer() or napari.Viewer()


def read_layers_or_tell(uri: str) -> list[LayerTuple]:
    """Return the layers of an image; ask and tell where a person is waiting.

    Raises
    ------
    SOMAError
        If nobody is there to be told; see `is_interactive`.
    """
    request = OpenRequest(uri)
    try:
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
    """Open an image and return its layers; pixels are read of the coarsest level only.

    Raises
    ------
    ConsentError
        If levels are outside the image's folder and that was not allowed.
    SOMAError
        If it is not an image, is damaged, or napari cannot show it.
    """
    from ..storage import MultiscaleImage
    from ._settings import apply_settings

    # napari reads the manifests of all plugins for it: not before the first frame
    run_soon(apply_settings, delay_ms=_SETTINGS_DELAY_MS)
    with MultiscaleImage.open(
        request.uri, context=request.context, tiledb_timestamp=request.tiledb_timestamp
    ) as image:
        if not request.allow_outside:
            check_inside(image)
        hints, notes = hints_of(image)
        plan = _layers.plan_layers(
            image, hints, name=image_name(request.uri), rgb=request.rgb
        )
        stored, more = stored_levels(image)
        layers = _make_layers(image, stored, plan, request)
    for note in (*notes, *more, *plan.notes):
        tell(note)
    return layers


def request_of(layer: Any) -> tuple[str, OpenRequest] | None:
    """Return the image id and the request that made a layer; None for others."""
    entry = layer.metadata.get(_layers.LAYER_METADATA_KEY)
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
    try:
        return read_hints(image.metadata), []
    except FormatError as err:
        return None, [f"{err} They are ignored; {image.uri!r} opens without them."]


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
    result = []
    for layer in plan.layers:
        levels, complete = levels_to_show(image, stored, plan, layer)
        entry = {
            "uri": image.uri,
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
