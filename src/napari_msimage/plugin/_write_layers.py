"""write_layers: napari layers become a SOMA image or scene."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from ..engines import run, write_store
from ..errors import ArgumentError, ArgumentTypeError, StoreWarning
from ..storage import check_uri, normalize_uri
from ._notices import tell
from ._write_plan import LayersPlan, plan_layers_to_write
from ._write_watch import LayerWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from ..engines import Progress
    from ..storage import SOMATileDBContext
    from ._layer_source import Levels


def write_layers(
    path: str | os.PathLike[str],
    layers: Any,
    *,
    channels: bool = False,
    channel_axis: int | None = None,
    levels: Levels = "all",
    more_levels: bool | None = None,
    method: Any = None,
    platform_config: Any = None,
    replace: bool = False,
    progress: Callable[[Progress], object] | None = None,
    context: SOMATileDBContext | None = None,
) -> list[str]:
    """Write napari layers as a SOMA multiscale image, or as a scene of them.

    They come back as they look and lie. One layer on the pixel grid becomes an image;
    several, or one with a transform, become a scene with an image each, placed by
    scene-to-image transforms. Pixels are streamed: lazy arrays stay lazy.

    Parameters
    ----------
    path : str or path
        Folder or URI that does not exist yet, customarily ending in ``.soma``.
    layers : napari layer, layer tuple ``(data, attributes, type)``, or a sequence
        Bottom to top. Layers that are no images or labels are left out with a warning.
    channels : bool
        Make one image with a channel per image layer. They have to agree in the shapes
        of all levels, in pixel type and in transform. Labels stay images of their own.
    channel_axis : int, optional
        Which axis of image layers that are not RGB is the channel axis.
    levels : "all", "current" or int
        What of multiscale layers becomes the finest level; coarser ones follow it.
        "current" is the locked level, or else the one on the screen.
    more_levels : bool, optional
        Whether to make coarser levels, down to 512 pixels. By default for layers with
        a single level.
    method : str, optional
        How these are made: one of ``METHODS``; by default "mean". Labels take "mode"
        unless this is "stride".
    platform_config : optional
        Tile extents and filters, as for `MultiscaleImage.create`.
    replace : bool
        Whether a SOMA image or scene at `path` may be replaced, once the new one is
        complete.
    progress : callable, optional
        Called with a `Progress` after each block.
    context : SOMATileDBContext, optional
        TileDB settings such as credentials.

    Returns
    -------
    list of str
        Addresses of what was written: one image or one scene.

    Raises
    ------
    ArgumentError
        If there is nothing to write, layers do not fit together, or one has no pixels,
        no place (a singular transform) or an unknown unit.
    ArgumentTypeError
        If a layer is none, or has pixels that SOMA images cannot hold.
    UnsupportedError
        If a layer has more axes than SOMA images.
    AlreadyExistsError
        If there is something at `path`.
    StorageError
        If writing fails; nothing is left at `path` then.
    SaveError
        If a napari layer gets other pixels, another transform or other units, or is
        removed from its viewer, before it is written; nothing is left at `path` then.

    Warns
    -----
    StoreWarning
        If layers are left out.

    Examples
    --------
    >>> import numpy as np
    >>> layer = (np.zeros((97, 130), "uint8"), {"name": "liver"}, "image")
    >>> write_layers("mem://liver", layer)
    ['mem://liver']
    """
    sequence = as_layers(layers)
    watch = LayerWatch(sequence, [*_lists_among(layers), *shown_lists()])
    plan = plan_layers_to_write(
        sequence,
        channels=channels,
        channel_axis=channel_axis,
        levels=levels,
        more_levels=more_levels,
        method=method,
        platform_config=platform_config,
    )
    if plan.skipped:
        warnings.warn(skipped_sentence(plan), StoreWarning, stacklevel=2)
    for note in plan.notes:
        tell(note)
    engine = write_plan(path, plan, replace=replace, context=context, watch=watch)
    return list(run(engine, progress))


def write_plan(
    path: str | os.PathLike[str],
    plan: LayersPlan,
    *,
    replace: bool = False,
    context: SOMATileDBContext | None = None,
    watch: LayerWatch | None = None,
) -> Generator[Progress, None, tuple[str, ...]]:
    """Write what was planned; an engine, see `run`.

    It stops when `watch` notices that a layer is not what it was. Other parameters,
    results and errors are those of `write_layers`.
    """
    uri = os.path.expanduser(check_uri(os.fspath(path)))
    _check_not_a_source(uri, plan)
    engine = write_store(uri, plan.what, replace=replace, context=context)
    return engine if watch is None else watch.guard(engine)


def as_layers(layers: Any) -> Sequence[Any]:
    """Return a sequence of layers from one of them, or several.

    Raises
    ------
    ArgumentTypeError
        If they are neither; an array alone is a layer ``(array,)``.
    """
    if hasattr(layers, "as_layer_data_tuple") or _is_tuple_of_one(layers):
        return (layers,)
    if hasattr(layers, "dtype") or not hasattr(layers, "__iter__"):
        msg = (
            "Expected napari layers or tuples (data, attributes, type), got "
            f"{type(layers).__name__}; write an array as (array,)."
        )
        raise ArgumentTypeError(msg)
    return tuple(layers)


def shown_lists() -> list[Any]:
    """Return the layer lists of all viewers that napari lists."""
    from ._notices import has_window
    from ._overview_job import open_viewers

    return [viewer.layers for viewer in open_viewers()] if has_window() else []


def _lists_among(layers: Any) -> list[Any]:
    """Return the layers if they are a list that tells of what is removed."""
    return [layers] if hasattr(getattr(layers, "events", None), "removed") else []


def skipped_sentence(plan: LayersPlan) -> str:
    """Return what the user should know about layers that are left out."""
    return (
        f"These layers are not saved: {', '.join(plan.skipped)}. SOMA images are made "
        "of image and labels layers."
    )


def _is_tuple_of_one(layers: Any) -> bool:
    """Tell a layer tuple from a tuple of layers."""
    if not isinstance(layers, tuple) or not 1 <= len(layers) <= 3:
        return False
    return hasattr(layers[0], "shape") if len(layers) == 1 else _is_dict(layers[1])


def _is_dict(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _check_not_a_source(uri: str, plan: LayersPlan) -> None:
    """Refuse to write over the image that layers are read from."""
    target = normalize_uri(uri)
    for source in plan.source_uris:
        place = normalize_uri(source)
        if place == target or place.startswith(target.rstrip("/") + "/"):
            msg = (
                f"Cannot write to {uri!r}: a layer to be saved shows the image at "
                f"{source!r}. Choose another place."
            )
            raise ArgumentError(msg)
