"""Coarser levels of exported pixels, kept in a folder until they are copied."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..errors import AlreadyExistsError, StorageError
from ..storage import (
    CHANNEL_AXIS,
    LevelArray,
    LevelSpec,
    SOMATileDBContext,
    create_level_array,
    now_ms,
)
from ._export_axes import ome_letters
from ._export_pixels import RegionPixels
from ._export_threads import N_THREADS
from ._level_facts import ImageFacts
from ._level_passes import plan_passes
from ._level_planning import complete_plan
from ._level_wishes import DEFAULT_FACTOR, StepWish, missing_shapes
from ._levels import LevelsRun, ThreadWorkers, request_of
from ._pixel_source import GivenLevel, chunks_of
from ._windows import whole_window

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ._export_plan import ExportPlan
    from ._export_threads import Ticker
    from ._export_writers import ExportPixels
    from ._level_plan import LevelPlan
    from ._level_shapes import Shape

#: Types that levels cannot be made of, but of others that hold the same numbers.
_MADE_AS: Final[dict[str, np.dtype[Any]]] = {
    "bool": np.dtype(np.uint8),
    "float16": np.dtype(np.float32),
}
#: Types that levels can be made of.
_KINDS: Final = "iuf"
#: Formats that get levels made here.
_FORMATS: Final = ("ome-tiff", "ome-zarr")


def level_type(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """Return the type in which coarser levels are made; None if none can be made."""
    found = _MADE_AS.get(dtype.name, dtype)
    return found if found.kind in _KINDS else None


def coarser_plan(plan: ExportPlan, pixels: ExportPixels) -> LevelPlan | None:
    """Plan levels below exported pixels, each half as large as the one before.

    Parameters
    ----------
    plan : ExportPlan
        The export.
    pixels : ExportPixels
        The finest level, data axis order.

    Returns
    -------
    LevelPlan or None
        None if none are wanted, or there are none to make, or of this type none can be
        made.
    """
    shape, names = pixels.shape, plan.source.axis_names
    dtype, halved = level_type(pixels.dtype), _halved_axes(plan)
    if (
        not plan.options.pyramid
        or dtype is None
        or all(shape[axis] == 1 for axis in halved)
    ):
        return None
    facts = ImageFacts(
        uri="the export",
        axis_names=names,
        displayed_axes=tuple(halved[-2:]),
        dtype=dtype,
        levels=(("", shape),),
        source_extents=_extents(pixels),
    )
    factors = {
        names[axis]: DEFAULT_FACTOR if axis in halved else 1
        for axis in facts.spatial_axes
    }
    wish = StepWish(factors, None, None, between=False, replace=False)
    shapes = missing_shapes(facts, wish)
    named = [(str(number), one) for number, one in enumerate(shapes, start=1)]
    if not named:
        return None
    is_mode = plan.source.is_labels or plan.source.dtype == np.bool_
    return complete_plan(facts, named, "mode" if is_mode else "mean", N_THREADS, None)


def _halved_axes(plan: ExportPlan) -> list[int]:
    """Return the axes along which levels get smaller, data axis order.

    Of OME-TIFF these are y and x: all resolutions have the same planes, one SubIFD each
    (OME-TIFF specification, "Sub-resolutions").
    """
    names = plan.source.axis_names
    if plan.format == "ome-tiff":
        return [i for i, letter in enumerate(ome_letters(names)) if letter in "YX"]
    return [i for i, name in enumerate(names) if name != CHANNEL_AXIS]


def work_bytes(plan: ExportPlan, pixels: ExportPixels) -> int:
    """Return the bytes that are counted while one file is written.

    Parameters
    ----------
    plan : ExportPlan
        The plan.
    pixels : ExportPixels
        The pixels of the file.

    Returns
    -------
    int
        Of all pixels that are written, and of those that are read to make coarser
        levels. Of a SOMA image only the first: it counts for itself.
    """
    size = math.prod(pixels.shape)
    levels = coarser_plan(plan, pixels) if plan.format in _FORMATS else None
    if levels is not None:
        size += sum(math.prod(one.shape) for one in levels.levels)
        size += math.prod(pixels.shape) * len(plan_passes(request_of(levels)))
    return size * pixels.dtype.itemsize


def _extents(pixels: ExportPixels) -> Shape:
    return chunks_of(pixels) or tuple(
        min(axis.extent, axis.size) for axis in pixels.grid
    )


@contextlib.contextmanager
def coarser_pixels(
    levels: LevelPlan | None,
    pixels: ExportPixels,
    folder: str,
    tick: Ticker,
) -> Iterator[list[RegionPixels]]:
    """Make planned levels in a folder, and remove it when the block ends.

    Parameters
    ----------
    levels : LevelPlan, optional
        What to make; None: nothing.
    pixels : ExportPixels
        What they are made from.
    folder : str
        Where they are kept; levels that a killed export has left there are removed.
    tick : Ticker
        Gets the bytes of `pixels`, once for each time that they are read.

    Yields
    ------
    list of RegionPixels
        Finest first.

    Raises
    ------
    AlreadyExistsError
        If there is something else in that place.
    """
    if levels is None:
        yield []
        return
    if os.path.lexists(folder):
        _remove_levels(folder)
    os.makedirs(folder)
    try:
        arrays = _make(levels, pixels, folder, tick)
        try:
            yield [
                RegionPixels(
                    GivenLevel("a coarser level", array, pixels.dtype),
                    whole_window(array.shape),
                )
                for array in arrays
            ]
        finally:
            for array in arrays:
                array.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_levels(folder: str) -> None:
    """Remove levels that a killed export has left, and nothing else."""
    is_folder = os.path.isdir(folder) and not os.path.islink(folder)
    if not is_folder or any(not name.startswith("__") for name in _names_below(folder)):
        msg = (
            f"There is something at {folder!r}, where coarser levels are to be kept "
            "for a while; it is left as it is. Move it away, choose another name, or "
            "leave pyramid out."
        )
        raise AlreadyExistsError(msg)
    shutil.rmtree(folder)


def _names_below(folder: str) -> Iterator[str]:
    """Yield the names of what is in folders in a folder, and of files beside them."""
    with os.scandir(folder) as entries:
        for entry in entries:
            yield from os.listdir(entry.path) if entry.is_dir() else [entry.name]


def _make(
    levels: LevelPlan, pixels: ExportPixels, folder: str, tick: Ticker
) -> list[LevelArray]:
    """Make planned levels in a folder."""
    given = GivenLevel("the region", pixels, levels.dtype)
    try:
        made = _Made(levels, folder)
        run = LevelsRun(
            levels,
            "",
            made.context,
            made,
            ThreadWorkers(levels.n_threads),
            given,
            request_of(levels),
        )
        with contextlib.closing(run.all_passes()) as progress:
            counted = 0
            for step in progress:
                # Both in bytes, of the type of the levels and of that of the pixels.
                done = step.done * pixels.dtype.itemsize // levels.dtype.itemsize
                tick(done - counted)
                counted = done
        return made.arrays()
    except StorageError as err:
        if folder not in str(err):
            raise
        # Nobody knows this folder; what the disk says is at the end.
        reason = str(err).rpartition("error:")[2].rstrip(").")
        msg = (
            f"Cannot write the coarser levels of the export, in {folder!r}: {reason}. "
            "Free some space, choose another disk, or leave pyramid out."
        )
        raise StorageError(msg) from err


class _Made:
    """Arrays that wait for their pixels; see `Targets`."""

    def __init__(self, plan: LevelPlan, folder: str) -> None:
        self.context = SOMATileDBContext()
        self.timestamp_ms = now_ms()
        self.uris: Mapping[str, str] = {
            level.key: os.path.join(folder, level.key) for level in plan.levels
        }
        for level in plan.levels:
            create_level_array(
                self.uris[level.key],
                LevelSpec(level.key, level.shape, level.tile_extents, None),
                plan.dtype,
                plan.channel_axis,
                timestamp_ms=self.timestamp_ms,
                context=self.context,
            )

    def arrays(self) -> list[LevelArray]:
        """Return the arrays for reading, finest first."""
        return [LevelArray(uri, context=self.context) for uri in self.uris.values()]
