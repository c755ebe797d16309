"""The reader napari asks: path or URI → reader or None; reader → layer tuples."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._layers import LayerTuple

#: Schemes that TileDB opens; the manifest's patterns let fewer through.
_REMOTE = re.compile(r"^(s3|gcs|gs|azure|tiledb|mem|hdfs)://[^/]", re.IGNORECASE)
_ZARR = re.compile(r"\.zarr(/|$)", re.IGNORECASE)
#: In the names of folders that were moved aside to be replaced.
_ASIDE: Final = ".old.__msimage_tmp_"
#: A folder with one of these is a TileDB group or array.
_MARKS: Final = ("__tiledb_group.tdb", "__group", "__schema")


def get_reader(
    path: str | Sequence[str],
) -> Callable[[str | Sequence[str]], list[LayerTuple] | list[tuple[None]]] | None:
    """Return a reader for TileDB folders and URIs, None for anything else.

    Looks for TileDB's own files and opens nothing; a URI is only looked at, not
    contacted. Images, scenes and experiments open; another TileDB object is taken too:
    the reader then says what it is. So is a missing folder that was moved aside to be
    replaced, which was interrupted: the reader says where it is. Never raises.

    Parameters
    ----------
    path : str or sequence of str
        One path or URI, or several, which become layers side by side.
    """
    try:
        paths = _as_list(path)
        return read if paths and all(_is_tiledb(p) for p in paths) else None
    except (TypeError, ValueError, OSError):
        return None


def read(path: str | Sequence[str]) -> list[LayerTuple] | list[tuple[None]]:
    """Return the layers of one image, scene, collection or experiment, or several.

    A person at the window gets a message when an image cannot be opened, and a
    question when parts of it are stored elsewhere; code gets an exception.

    Raises
    ------
    SOMAError
        Outside the event loop: what is wrong with the image.
    """
    from ._open import read_layers_or_tell

    layers: list[LayerTuple] = []
    for uri in _as_list(path):
        layers += read_layers_or_tell(uri)
    return layers or [(None,)]


def _as_list(path: Any) -> list[str]:
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    return [os.fspath(p) for p in paths]


def _is_tiledb(path: str) -> bool:
    """Tell whether it is a TileDB folder, or may be one behind a URI."""
    if _REMOTE.match(path):
        return not _ZARR.search(path)
    if not os.path.lexists(path):
        return _is_moved_aside(path)
    return any(os.path.exists(os.path.join(path, mark)) for mark in _MARKS)


def _is_moved_aside(path: str) -> bool:
    """Tell whether there was something that lies beside its place now."""
    parent = os.path.dirname(os.path.abspath(os.path.expanduser(path)))
    if not os.path.isdir(parent) or not any(_ASIDE in n for n in os.listdir(parent)):
        return False
    from ._open_replaced import replaced_at

    return replaced_at(path) is not None
