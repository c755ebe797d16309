"""The demo: a tissue image in a SOMA store, opened by the plugin in a real window."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..engines import run, write_image
from ..errors import SOMAError, StorageError, StoreWarning
from ..samples import TissueMosaic, pyramid, tissue
from ..storage import MultiscaleImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari
    import numpy.typing as npt

WINDOW_SIZE: Final = (1400, 900)
#: Longest side of the coarsest level, in pixels.
_COARSEST: Final = 512
#: Side of the blocks that are compared when a store is used again, in pixels.
_PROBE: Final = 64
#: Software rendering on a busy machine needs a while for the first frames.
_DRAW_SECONDS: Final = 60.0


def sample_store(folder: Path, *, size: int = 8192, say: Callable[[str], None]) -> Path:
    """Return a SOMA image of tissue with levels; make it unless it is there, whole.

    Parameters
    ----------
    folder : Path
        Where the image is, or will be. Created if need be.
    size : int, optional
        Height and width of the reference level in pixels.
    say : callable
        Takes one line about what is going on.

    Returns
    -------
    Path
        Of the store inside `folder`.

    Raises
    ------
    StorageError
        If the store cannot be written.
    """
    store = folder / f"tissue-{size}.soma"
    if _is_whole(store, size):
        say(f"Using the sample image {store}")
        return store
    if store.exists():
        say(f"Replacing the incomplete sample image {store}")
        shutil.rmtree(store)
    folder.mkdir(parents=True, exist_ok=True)
    say(f"Making a tissue image of {size} x {size} pixels: {store}")
    levels = pyramid(tissue((size, size)), axes=(0, 1), until=_COARSEST)
    order = ("y", "x", "soma_channel")
    run(write_image(str(store), levels, data_axis_order=order))
    return store


def show_demo(
    store: Path, *, screenshot: Path | None, say: Callable[[str], None]
) -> None:
    """Open the store with the plugin in a napari window.

    napari's settings of this run go to a temporary file, because closing the window
    would save its size for other sessions.

    Parameters
    ----------
    store : Path
        A SOMA image.
    screenshot : Path or None
        Save a picture of the whole window there and close it; with None, return when
        the user closes it.
    say : callable
        Takes one line about what is going on.

    Raises
    ------
    StorageError
        If nothing was drawn, or the picture cannot be saved.
    """
    with _own_settings():
        import napari

        viewer = napari.Viewer(title=f"napari-msimage: {store.name}")
        viewer.window.resize(*WINDOW_SIZE)
        viewer.open(str(store), plugin="napari-msimage")
        if screenshot is None:
            say("Scroll to zoom, drag to pan; close the window to finish.")
            napari.run()
            return
        try:
            _save_picture(viewer, screenshot)
        finally:
            viewer.close()
    say(f"Screenshot of the window: {screenshot.resolve()}")


def is_blank(canvas: npt.NDArray[np.uint8]) -> bool:
    """Return whether a rendered canvas shows no picture.

    Parameters
    ----------
    canvas : ndarray of uint8, (Y, X, 4)
        Red, green, blue and alpha.

    Returns
    -------
    bool
        True if fewer than 100 colours cover less than a tenth of the canvas besides
        its most frequent colour: an empty canvas, or one with a line of text.
    """
    red, green, blue = np.moveaxis(canvas[..., :3].astype(np.uint32), -1, 0)
    colours, counts = np.unique((red << 16) | (green << 8) | blue, return_counts=True)
    drawn = 1 - counts.max() / counts.sum()
    return len(colours) < 100 or bool(drawn < 0.1)


def _is_whole(store: Path, size: int) -> bool:
    """Return whether the store has all levels, and the right pixels at its corners."""
    if not store.exists():
        return False
    mosaic = TissueMosaic((size, size))
    first, last = slice(0, _PROBE), slice(size - _PROBE, size)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", StoreWarning)
            image = MultiscaleImage.open(str(store))
        with image:
            if [image.level_shape(i) for i in range(image.level_count)] != (
                _level_shapes(size)
            ):
                return False
            arrays = [image.level_array(i) for i in range(image.level_count)]
            return bool(np.asarray(arrays[-1]).any()) and all(
                np.array_equal(arrays[0][rows, columns], mosaic[rows, columns])
                for rows in (first, last)
                for columns in (first, last)
            )
    except (SOMAError, StoreWarning):
        return False


def _level_shapes(size: int) -> list[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = [(size, size, 3)]
    while size > _COARSEST:
        size = -(-size // 2)
        shapes.append((size, size, 3))
    return shapes


@contextmanager
def _own_settings() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="napari-msimage-demo-") as folder:
        os.environ.setdefault("NAPARI_CONFIG", str(Path(folder, "settings.yaml")))
        yield


def _save_picture(viewer: napari.Viewer, path: Path) -> None:
    from qtpy.QtWidgets import QApplication

    deadline = time.monotonic() + _DRAW_SECONDS
    previous: Any = None
    while time.monotonic() < deadline:
        QApplication.processEvents()
        canvas = viewer.screenshot(canvas_only=True, flash=False)
        if not is_blank(canvas) and np.array_equal(canvas, previous):
            break
        previous = canvas
        time.sleep(0.1)
    else:
        msg = (
            f"napari opened {len(viewer.layers)} layers, but its canvas was still "
            f"blank after {_DRAW_SECONDS:.0f} s. Does OpenGL work here? "
            "`python -m napari_msimage doctor` checks what a window needs."
        )
        raise StorageError(msg)
    path.parent.mkdir(parents=True, exist_ok=True)
    viewer.screenshot(str(path), canvas_only=False, flash=False)
