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
from ._level_view import LevelView, ReadFailures
from ._notices import ask_about_outside, is_interactive, run_soon, tell

if TYPE_CHECKING:
    from ..storage import LevelArray, MultiscaleImage, SOMATileDBContext
    from ._layers import ImagePlan, LayerPlan, LayerTuple


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

    apply_settings()
    with MultiscaleImage.open(
        request.uri, context=request.context, tiledb_timestamp=request.tiledb_timestamp
    ) as image:
        if not request.allow_outside:
            _check_inside(image)
        hints, notes = hints_of(image)
        plan = _layers.plan_layers(
            image, hints, name=image_name(request.uri), rgb=request.rgb
        )
        layers = _make_layers(image, plan, request)
    for note in (*notes, *plan.notes):
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


def hints_of(image: MultiscaleImage) -> tuple[DisplayHints | None, list[str]]:
    """Return the image's display hints, and notes on damaged ones."""
    try:
        return read_hints(image.metadata), []
    except FormatError as err:
        return None, [f"{err} They are ignored; {image.uri!r} opens without them."]


def _check_inside(image: MultiscaleImage) -> None:
    """Refuse an image with levels outside its folder, naming them."""
    outside = levels_outside(image)
    if not outside:
        return
    named = "; ".join(f"{key!r} at {uri!r}" for key, uri in outside.items())
    msg = (
        f"The image at {image.uri!r} keeps levels outside its own folder: {named}. "
        "Reading them uses your permissions. If you trust the image, open it with "
        "napari_msimage.plugin.open_image(uri, allow_outside=True)."
    )
    raise ConsentError(msg, outside)


def levels_outside(image: MultiscaleImage) -> dict[str, str]:
    """Return key and address of the levels that are not within the image's folder.

    Symbolic links are followed. The levels themselves are not opened.
    """
    levels = {key: uri for key, (uri, _) in image.levels().items()}
    return {k: uri for k, uri in levels.items() if not _is_inside(uri, image.uri)}


def _is_inside(uri: str, image_uri: str) -> bool:
    from ..storage import is_local, normalize_uri

    inner, outer = normalize_uri(uri), normalize_uri(image_uri)
    if is_local(uri) != is_local(image_uri):
        return False
    if is_local(uri):
        inner, outer = os.path.realpath(inner), os.path.realpath(outer)
        return inner.startswith(os.path.join(outer, ""))
    return inner.startswith(f"{outer}/") and ".." not in inner.split("/")


def _make_layers(
    image: MultiscaleImage, plan: ImagePlan, request: OpenRequest
) -> list[LayerTuple]:
    """Return the layer tuples of a plan."""
    from ._overview_job import make_display, starting_contrast_limits

    image_id = uuid.uuid4().hex
    _REQUESTS[image_id] = request
    failures = ReadFailures(plan.name, functools.partial(_show_failure, image_id))
    stored = _stored_levels(image)
    result = []
    for layer in plan.layers:
        display = make_display(
            _views(image, layer, stored),
            rgb=layer.rgb,
            name=plan.name,
            n_sharing=len(plan.layers),
        )
        if not layer.rgb and layer.contrast_limits is None:
            limits = starting_contrast_limits(display)
            layer = dataclasses.replace(layer, contrast_limits=limits)
        entry = {
            "uri": image.uri,
            "image_id": image_id,
            "image_name": plan.name,
            "channel": layer.channel,
        }
        result.append(
            _layers.layer_tuple(
                plan,
                layer,
                [LevelView(level, failures) for level in display.levels],
                metadata={_layers.LAYER_METADATA_KEY: entry},
            )
        )
    return result


def _stored_levels(image: MultiscaleImage) -> list[LevelArray]:
    """Return the levels that napari can switch between, finest first."""
    shapes = [shape for _, shape in image.levels().values()]
    return [image.level_array(i) for i in _layers.display_levels_of(shapes)]


def _views(
    image: MultiscaleImage, layer: LayerPlan, stored: list[LevelArray]
) -> list[Any]:
    """Return a layer's own view of each level."""
    if layer.rgb:
        return [_layers.rgb_view(level, image) for level in stored]
    return [_layers.channel_view(level, image, layer.channel or 0) for level in stored]
