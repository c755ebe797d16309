"""Opens what was exported in the viewer it came from."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ...errors import StorageError
from ._jobs import sentence_of

if TYPE_CHECKING:
    from ...engines import ExportPlan
    from .._layers import LayerTuple

_LOGGER = logging.getLogger(__name__)

#: Files of an export with many regions are opened up to this number.
MAX_OPENED: Final = 20


def open_results(
    viewer: Any,
    plan: ExportPlan,
    add: Callable[[Callable[[], object]], object],
    on_error: Callable[[str], object],
) -> Any:
    """Open the files of an export in a viewer, where their pixels came from.

    The window stays alive while they are read.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    plan : ExportPlan
        What was written.
    add : callable
        Called with a function that adds the layers, once they are read.
    on_error : callable
        Called with a sentence if they cannot be opened.

    Returns
    -------
    napari worker
        Started.
    """
    from napari.qt.threading import create_worker

    viewer = getattr(viewer, "__wrapped__", viewer)
    worker = create_worker(
        _read,
        plan,
        _progress={"desc": "Opening the exported files", "total": 0},
        _start_thread=False,
        _ignore_errors=True,
    )
    worker.returned.connect(
        lambda layers: add(functools.partial(_add, viewer, layers, on_error))
    )
    worker.errored.connect(lambda err: on_error(sentence_of(err)))
    worker.start()
    return worker


def _read(plan: ExportPlan) -> list[LayerTuple]:
    """Return the layers of all files; in a thread."""
    from .._exported_layers import exported_layers

    files = plan.files[:MAX_OPENED]
    return [layer for file in files for layer in exported_layers(plan, file)]


def _add(
    viewer: Any, layers: list[LayerTuple], on_error: Callable[[str], object]
) -> None:
    """Add layers; those before one that napari refuses stay."""
    from .._open import add_layers

    for layer in layers:
        try:
            add_layers(viewer, [layer])
        except Exception as err:  # the user gets a sentence, the log the rest
            _LOGGER.exception("A layer could not be added")
            name = layer[1].get("name")
            msg = f"The files were written, but napari cannot show {name!r}: {err}"
            on_error(sentence_of(StorageError(msg)))
            return
