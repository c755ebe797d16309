"""Coarser levels of exported pixels, kept in a folder until they are copied."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
from typing import TYPE_CHECKING, Final

from ..errors import StorageError
from ..storage import (
    LevelArray,
    LevelSpec,
    SOMATileDBContext,
    create_level_array,
    now_ms,
)
from ._export_pixels import RegionPixels
from ._export_threads import N_THREADS
from ._level_facts import ImageFacts
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

#: Types that levels can be made of.
_KINDS: Final = "iuf"


def coarser_plan(
    plan: ExportPlan,
    pixels: ExportPixels,
    axis_names: tuple[str, ...],
    max_side: int | None = None,
) -> LevelPlan | None:
    """Plan levels below exported pixels, each half as large as the one before.

    Parameters
    ----------
    plan : ExportPlan
        The export.
    pixels : ExportPixels
        The finest level.
    axis_names : tuple of str
        Its axes, the channel axis as ``soma_channel``.
    max_side : int, optional
        Pixels of the coarsest level's longest side; 512 by default.

    Returns
    -------
    LevelPlan or None
        None if there are none to make, or of this type none can be made.
    """
    shape, dtype = pixels.shape, pixels.dtype
    if dtype.kind not in _KINDS or dtype.itemsize < (4 if dtype.kind == "f" else 1):
        return None
    spatial = [i for i, name in enumerate(axis_names) if name != "soma_channel"]
    facts = ImageFacts(
        uri="the export",
        axis_names=axis_names,
        displayed_axes=tuple(spatial[-2:]),
        dtype=dtype,
        levels=(("", shape),),
        source_extents=_extents(pixels),
    )
    if all(shape[i] == 1 for i in spatial):
        return None
    wish = StepWish(DEFAULT_FACTOR, max_side, None, between=False, replace=False)
    shapes = missing_shapes(facts, wish)
    named = [(str(number), one) for number, one in enumerate(shapes, start=1)]
    if not named:
        return None
    method = "mode" if plan.source.is_labels else "mean"
    return complete_plan(facts, named, method, N_THREADS, None)


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
        Where they are kept; what is there is removed.
    tick : Ticker
        Stops the work.

    Yields
    ------
    list of RegionPixels
        Finest first.
    """
    if levels is None:
        yield []
        return
    shutil.rmtree(folder, ignore_errors=True)
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


def _make(
    levels: LevelPlan, pixels: ExportPixels, folder: str, tick: Ticker
) -> list[LevelArray]:
    """Make planned levels in a folder."""
    given = GivenLevel("the region", pixels, pixels.dtype)
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
            for _ in progress:
                tick()
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


def n_bytes(levels: LevelPlan | None) -> int:
    """Return the bytes of all pixels of planned levels."""
    if levels is None:
        return 0
    return sum(math.prod(one.shape) for one in levels.levels) * levels.dtype.itemsize
