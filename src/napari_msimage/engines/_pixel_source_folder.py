"""Where on local disks the pixels of a source come from, as far as it can be known."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Files that make a folder a part of a zarr hierarchy.
_ZARR_MARKS: Final = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
#: A step of a dask graph that hands on an array is no longer than this.
_MAX_STEPS: Final = 16
_MAX_WRAPPERS: Final = 8
#: Packages of arrays that are read from disk.
_ROOMS: Final = ("zarr", "numpy")


def zarr_folders(pixels: Any) -> set[str]:
    """Return the local zarr folders that pixels are read from; computes nothing.

    Parameters
    ----------
    pixels : array-like
        A zarr array, a dask array made of some, or a view whose ``sources`` are such.

    Returns
    -------
    set of str
        Absolute paths without links: for an array in a hierarchy the outermost folder.
    """
    folders = set()
    for array in _arrays_in(pixels):
        root = _local_root(getattr(array, "store", None))
        if root is not None:
            folders.add(_outermost(os.path.realpath(root)))
    return folders


def source_places(pixels: Any) -> set[str]:
    """Return the local files and folders that pixels are read from; computes nothing.

    Parameters
    ----------
    pixels : array-like
        As for `zarr_folders`, or an array of numpy that is mapped from a file.

    Returns
    -------
    set of str
        Absolute paths, as of `zarr_folders`; of mapped files as they were opened.
    """
    files = {_mapped_file(array) for array in _arrays_in(pixels)}
    return zarr_folders(pixels) | {os.path.abspath(name) for name in files if name}


def _mapped_file(array: Any) -> str | None:
    """Return the file that an array of numpy is mapped from, if it is."""
    while array is not None:
        name = getattr(array, "filename", None)
        if isinstance(name, str | os.PathLike):
            return os.fspath(name)
        array = getattr(array, "base", None)
    return None


def _arrays_in(pixels: Any) -> Iterator[Any]:
    """Yield what pixels are made of: themselves, or what is in a view or a graph."""
    sources = getattr(pixels, "sources", None)
    if isinstance(sources, tuple):
        for source in sources:
            yield from _arrays_in(source)
        return
    room = type(pixels).__module__.partition(".")[0]
    if room in _ROOMS:
        yield pixels
    elif room == "dask":
        for layer in getattr(pixels.__dask_graph__(), "layers", {}).values():
            yield from _arrays_in_step(layer)


def _arrays_in_step(layer: Any) -> Iterator[Any]:
    """Yield the arrays that one step of a dask graph begins with."""
    indices = getattr(layer, "indices", None)
    if indices is not None:
        # blockwise: to look at it as a mapping would make all of its tasks
        values = [pair[0] for pair in indices]
    elif len(layer) <= _MAX_STEPS:
        values = list(layer.values())
    else:
        return
    for value in values:
        array = getattr(value, "value", value)
        if type(array).__module__.partition(".")[0] in _ROOMS:
            yield array


def _local_root(store: Any) -> str | None:
    """Return the folder of a store on a local disk; None for others."""
    for _ in range(_MAX_WRAPPERS):
        for name in ("root", "path", "dir_path"):  # zarr 3, zarr 2
            root = getattr(store, name, None)
            if isinstance(root, str | os.PathLike) and os.path.exists(root):
                return os.fspath(root)
        store = getattr(store, "_store", None)
        if store is None:
            break
    return None


def _outermost(folder: str) -> str:
    """Return the outermost folder of the hierarchy that a folder is a part of."""
    parent = os.path.dirname(folder)
    while parent != folder and _is_zarr(parent):
        folder, parent = parent, os.path.dirname(parent)
    return folder


def _is_zarr(folder: str) -> bool:
    return any(os.path.exists(os.path.join(folder, mark)) for mark in _ZARR_MARKS)
