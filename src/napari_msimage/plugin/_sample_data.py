"""Sample images for File > Open Sample: samples.py → SOMA store → layer tuples.

The samples are real SOMA images in a temporary folder, so that everything the plugin
does with an image can be tried on them. They are made once per process.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._layers import LayerTuple

_TISSUE_SHAPE_YX: Final = (4096, 4096)
_VOLUME_SHAPE_CZYX: Final = (3, 24, 240, 320)


def tissue() -> list[LayerTuple]:
    """Return stained tissue: one RGB layer with levels."""
    return _read(_tissue_store())


def volume() -> list[LayerTuple]:
    """Return synthetic cells in 3-D: a layer per channel, with levels."""
    return _read(_volume_store())


def _read(store: str) -> list[LayerTuple]:
    from ._open import OpenRequest, read_layers

    return read_layers(OpenRequest(store))


@functools.cache
def _tissue_store() -> str:
    from ..samples import pyramid, tissue

    levels = pyramid(tissue(_TISSUE_SHAPE_YX), axes=(0, 1), until=512)
    return _write("tissue", levels, ("x", "y"), ("y", "x", "soma_channel"))


@functools.cache
def _volume_store() -> str:
    from ..samples import pyramid, volume
    from ._hints import HINTS_KEY, hints_to_json, make_hints

    levels = pyramid(volume(_VOLUME_SHAPE_CZYX), axes=(1, 2, 3), until=80)
    hints = make_hints(
        [
            {"name": "nuclei", "colormap": "blue", "contrast_limits": (150, 4000)},
            {"name": "membranes", "colormap": "gray", "contrast_limits": (150, 16000)},
            {"name": "marker", "colormap": "red", "contrast_limits": (150, 6000)},
        ]
    )
    metadata = {HINTS_KEY: hints_to_json(hints)}
    order = ("soma_channel", "z", "y", "x")
    return _write("cells", levels, ("x", "y", "z"), order, metadata)


def _write(
    name: str,
    levels: Sequence[Any],
    axes: tuple[str, ...],
    order: tuple[str, ...],
    metadata: dict[str, str] | None = None,
) -> str:
    """Write a sample into a temporary folder; return its path."""
    from ..engines import run, write_image

    store = str(_folder() / f"{name}.soma")
    run(
        write_image(
            store,
            levels,
            coordinate_space=axes,
            data_axis_order=order,
            metadata=metadata,
        )
    )
    return store


@functools.cache
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="napari-msimage-samples-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
