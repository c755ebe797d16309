"""What the menu items and the command palette do."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ..errors import SOMAError
from ._notices import tell

if TYPE_CHECKING:
    from ._layers import LayerTuple
    from ._open import OpenRequest

#: The folder itself, and folders in it, which is how napari matches directories.
_SOMA_PATTERNS = ("*.soma/", "*.soma/*")


def open_image_dialog() -> None:
    """Ask for a folder or URI and open what is there in the current viewer."""
    from ._open import OpenRequest
    from .widgets._open_dialog import ask_for_uri

    viewer = _viewer_or_tell()
    if viewer is not None and (uri := ask_for_uri(viewer.window._qt_window)):
        open_in_background(viewer, OpenRequest(uri))


def open_in_background(viewer: Any, request: OpenRequest) -> Any:
    """Open an image or scene without stopping the window; return the worker.

    The window stays alive while a slow server is asked; what goes wrong is told in a
    notification.
    """
    from napari.qt.threading import create_worker

    from ._open import read_layers

    # widgets get the viewer behind a proxy that warns of private attributes
    viewer = getattr(viewer, "__wrapped__", viewer)

    worker = create_worker(
        read_layers,
        request,
        _progress={"desc": "Opening SOMA image", "total": 0},
        _start_thread=False,
        _ignore_errors=True,
    )
    worker.returned.connect(lambda layers: _on_layers(viewer, layers))
    worker.errored.connect(lambda err: _on_error(viewer, request, err))
    worker.start()
    return worker


def _on_layers(viewer: Any, layers: list[LayerTuple]) -> None:
    from ._open import add_layers

    if _is_alive(viewer):
        add_layers(viewer, layers)


def _on_error(viewer: Any, request: OpenRequest, err: Exception) -> None:
    from ..errors import ConsentError
    from ._notices import ask_about_outside

    if not _is_alive(viewer):
        return
    if isinstance(err, ConsentError) and not request.allow_outside:
        if ask_about_outside(request.uri, err.members):
            agreed = dataclasses.replace(request, allow_outside=True)
            open_in_background(viewer, agreed)
    elif isinstance(err, SOMAError):
        tell(str(err), "error")
    else:
        raise err


def _is_alive(viewer: Any) -> bool:
    """Tell whether the viewer's window has not been closed meanwhile."""
    try:
        return viewer.window._qt_window is not None
    except (AttributeError, RuntimeError):
        return False


def prefer_for_soma_folders() -> None:
    """Make napari open folders named ``*.soma`` with this plugin, without asking."""
    from napari.settings import get_settings

    from ._settings import PLUGIN_NAME

    plugins = get_settings().plugins
    plugins.extension2reader = {
        **plugins.extension2reader,
        **dict.fromkeys(_SOMA_PATTERNS, PLUGIN_NAME),
    }
    tell(
        "Folders named *.soma now open with napari-msimage. Preferences > Plugins "
        "lists this choice and can remove it."
    )


def show_as_rgb() -> None:
    """Show the selected layer's image as one colour layer."""
    _show_selected_as(rgb=True)


def show_as_channels() -> None:
    """Show the selected layer's image as one layer per channel."""
    _show_selected_as(rgb=False)


def _show_selected_as(*, rgb: bool) -> None:
    viewer = _viewer_or_tell()
    if viewer is None:
        return
    try:
        show_image_as(viewer, _selected_layer(viewer), rgb=rgb)
    except SOMAError as err:
        tell(str(err), "error")


def show_image_as(viewer: Any, layer: Any, *, rgb: bool) -> list[Any]:
    """Replace all layers of a layer's image by colour, or by one layer per channel.

    Nothing is stored; `save_display_settings` does that.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    layer : napari.layers.Image or None
        Any layer of the image.
    rgb : bool
        True: one colour layer; False: one layer per channel.

    Returns
    -------
    list of napari.layers.Image
        The image's layers from now on.

    Raises
    ------
    SOMAError
        If the layer is not of a SOMA image, or the image cannot be opened or shown so.
    """
    from ._open import read_layers

    request, old = _image_of(viewer, layer)
    if all(bool(getattr(other, "rgb", False)) == rgb for other in old):
        return old
    new = read_layers(dataclasses.replace(request, rgb=rgb))
    return _replace_layers(viewer, old, new)


def _replace_layers(viewer: Any, old: list[Any], new: list[LayerTuple]) -> list[Any]:
    """Put new layers where the old ones are, keeping the camera."""
    from ._open import add_layers

    position = min(viewer.layers.index(layer) for layer in old)
    added = add_layers(viewer, new)
    for layer in old:
        viewer.layers.remove(layer)
    for offset, layer in enumerate(added):
        viewer.layers.move(viewer.layers.index(layer), position + offset)
    viewer.layers.selection = set(added)
    return added


def save_display_settings() -> None:
    """Store how the selected layer's image is shown now, in the image itself."""
    viewer = _viewer_or_tell()
    if viewer is None:
        return
    try:
        uri = store_display_settings(viewer, _selected_layer(viewer))
    except SOMAError as err:
        tell(str(err), "error")
    else:
        tell(f"{uri!r} now remembers how it is shown.")


def store_display_settings(viewer: Any, layer: Any) -> str:
    """Store the looks of a layer's image as hints in the image; return its URI.

    Raises
    ------
    SOMAError
        If the layer is not of a SOMA image, or the image cannot be written to.
    """
    from ..storage import MultiscaleImage
    from ._hints import HINTS_KEY, hints_to_json
    from ._looks import layers_to_hints
    from ._open import hints_of

    request, layers = _image_of(viewer, layer)
    with MultiscaleImage.open(request.uri, "w", context=request.context) as image:
        hints = layers_to_hints(layers, hints_of(image)[0], image.nchannels)
        image.metadata[HINTS_KEY] = hints_to_json(hints)
    return request.uri


def _image_of(viewer: Any, layer: Any) -> tuple[OpenRequest, list[Any]]:
    """Return how a layer's image was opened, and its layers that are still there."""
    from ..errors import ArgumentError
    from ._open import request_of

    found = request_of(layer) if layer is not None else None
    if found is None:
        msg = "Select the layers of one SOMA image first, opened with napari-msimage."
        raise ArgumentError(msg)
    image_id, request = found
    same = [o for o in viewer.layers if (request_of(o) or ("",))[0] == image_id]
    return request, same


def _selected_layer(viewer: Any) -> Any:
    """Return the layer meant by a command: the selected one, or the only candidate."""
    from ._open import request_of

    chosen = list(viewer.layers.selection) or list(viewer.layers)
    ours = [layer for layer in chosen if request_of(layer)]
    ids = {request_of(layer)[0] for layer in ours}  # type: ignore[index]
    return ours[0] if len(ids) == 1 else viewer.layers.selection.active


def _viewer_or_tell() -> Any:
    import napari

    viewer = napari.current_viewer()
    if viewer is None:
        tell("Open a napari viewer first.", "error")
    return viewer
