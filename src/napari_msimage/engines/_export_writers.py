"""What writers of file formats are, and which there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from ._export_blocks import AxisGrid
    from ._export_plan import ExportPlan, PlannedFile
    from ._export_threads import Ticker
    from ._level_shapes import Shape
    from ._windows import Window


class ExportPixels(Protocol):
    """The pixels that go into a file; several threads may read at a time."""

    @property
    def shape(self) -> Shape:
        """Pixels per axis, data axis order."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type, native byte order."""
        ...

    def __getitem__(self, key: tuple[slice, ...], /) -> Any: ...

    @property
    def grid(self) -> tuple[AxisGrid, ...]:
        """Where the blocks of the source lie, per axis."""
        ...

    def read(
        self, window: Window, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """Return the pixels of a window; `out` is memory that may be used."""
        ...


def writer_of(
    plan: ExportPlan, file: PlannedFile, pixels: ExportPixels
) -> Callable[[str, Ticker], None]:
    """Return what writes one file of a plan to a path (a SOMA image excepted)."""
    if plan.format == "npy":
        from ._export_npy import write_npy

        return lambda path, tick: write_npy(pixels, path, tick)
    if plan.format == "png":
        from ._export_png import write_png

        return lambda path, tick: write_png(plan, file, pixels, path, tick)
    if plan.format == "ome-tiff":
        from ._export_tiff import write_tiff

        return lambda path, tick: write_tiff(plan, file, pixels, path, tick)
    from ._export_zarr import write_zarr

    return lambda path, tick: write_zarr(plan, file, pixels, path, tick)
