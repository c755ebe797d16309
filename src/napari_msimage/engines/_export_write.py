"""write_export: run the plan of an export, file by file, each all or nothing."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentTypeError, SOMAError
from ..storage import is_local
from ._export_coarser import work_bytes
from ._export_files import check_parent, check_room, check_target, part_of
from ._export_formats import FOLDERS, most_bytes
from ._export_mask import masked
from ._export_metadata import write_csv, write_json
from ._export_pixels import region_pixels
from ._export_plan import ExportPlan
from ._export_planning import plan_export
from ._export_soma import write_soma
from ._export_threads import watched
from ._export_writers import writer_of
from ._progress import Progress, run

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..storage import MultiscaleImage
    from ._export_plan import PlannedFile
    from ._export_source import ExportSource
    from ._export_writers import ExportPixels


def export_region(
    image_or_uri: ExportSource | MultiscaleImage | str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    region: Any = None,
    level: int | str = 0,
    channels: Any = None,
    format: str | None = None,
    progress: Callable[[Progress], object] | None = None,
    **options: Any,
) -> tuple[str, ...]:
    """Export regions of an image as files.

    Memory does not depend on their size, PNG excepted.

    Parameters
    ----------
    image_or_uri, destination, region, level, channels, format
        See `plan_export`.
    progress : callable, optional
        Called with a `Progress` in bytes of pixels, several times a second.
    **options
        Further arguments of `plan_export`.

    Returns
    -------
    tuple of str
        Everything that was written: per region the file and its ``.json`` if it has
        one, then the table of several regions.

    Raises
    ------
    SOMAError
        As `plan_export` and `write_export`.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from napari_msimage.engines import ExportSource, export_region
    >>> pixels = np.arange(200, dtype="uint8").reshape(10, 20)
    >>> source = ExportSource("demo", (pixels,), ("y", "x"), np.eye(3), (None, None))
    >>> folder = tempfile.mkdtemp()
    >>> path, _ = export_region(source, f"{folder}/a.npy", region=(2, 3, 4.5, 5))
    >>> np.load(path).tolist()
    [[62, 63, 64], [82, 83, 84]]
    """
    plan = plan_export(
        image_or_uri,
        destination,
        region=region,
        level=level,
        channels=channels,
        format=format,
        **options,
    )
    return run(write_export(plan), progress)


def write_export(plan: ExportPlan) -> Generator[Progress, None, tuple[str, ...]]:
    """Write the files of a plan; an engine, see `run`.

    Each file is written to a path with ``.part`` at its end, which is renamed when it
    is complete. Closing the generator stops the work within a second and removes the
    part; files of the regions before are complete and stay, and so does their table.

    Parameters
    ----------
    plan : ExportPlan
        As `plan_export` makes it.

    Yields
    ------
    Progress
        Bytes of pixels written, and to be written; those of which coarser levels are
        made are counted too.

    Returns
    -------
    tuple of str
        Everything that was written.

    Raises
    ------
    AlreadyExistsError
        If there is something at a path, and it may not or cannot be replaced.
    DoesNotExistError
        If the folder around is missing.
    BusyError
        If another export is writing to the same path.
    AccessError, StorageError
        If the place cannot be written to, the disk is too small or full, or the image
        cannot be read.
    """
    if not isinstance(plan, ExportPlan):
        msg = (
            f"plan must be an ExportPlan, as plan_export makes it, got "
            f"{type(plan).__name__}"
        )
        raise ArgumentTypeError(msg)
    check_places(plan)
    before = n_written = 0
    try:
        with contextlib.closing(plan.source):
            work = [work_bytes(plan, _pixels(plan, file)) for file in plan.files]
            total = sum(work)
            yield Progress(0, total)
            for file, most in zip(plan.files, work, strict=True):
                with contextlib.closing(_write(plan, file)) as steps:
                    for done in steps:
                        # It is all done when the file is in its place.
                        yield Progress(before + min(done, most - 1), total)
                before += most
                n_written += 1
    except BaseException:
        if plan.csv_path and n_written:
            with contextlib.suppress(SOMAError):  # what went wrong first is told
                write_csv(plan, plan.csv_path, plan.files[:n_written])
        raise
    if plan.csv_path:
        write_csv(plan, plan.csv_path, plan.files)
    yield Progress(total, total)
    return plan.paths


def check_places(plan: ExportPlan) -> None:
    """Check all places of the files of a plan; changes nothing.

    Raises
    ------
    SOMAError
        As of `write_export` before any work.
    """
    is_folder = plan.format in FOLDERS
    overwrite = plan.options.overwrite
    local = [file for file in plan.files if is_local(file.path)]
    for file in local:
        if plan.format == "soma":  # write_store looks at what is there
            check_parent(file.path)
        else:
            check_target(file.path, is_folder=is_folder, overwrite=overwrite)
    small = [*(file.json_path for file in plan.files), plan.csv_path]
    for path in filter(None, small):
        check_target(path, is_folder=False, overwrite=overwrite)
    if local:
        folder = os.path.dirname(local[0].path)
        needed = sum(most_bytes(f.nbytes, plan.format, plan.options) for f in local)
        if os.path.isdir(folder):
            check_room(folder, needed, f"the export to {local[0].path!r}")


def _pixels(plan: ExportPlan, file: PlannedFile) -> ExportPixels:
    return masked(plan, file, region_pixels(plan, file))


def _write(plan: ExportPlan, file: PlannedFile) -> Generator[int, None, None]:
    """Write one file and what goes with it; yields the bytes done."""
    pixels = _pixels(plan, file)
    if plan.format == "soma":
        yield from write_soma(plan, file, pixels)
        if file.json_path:
            write_json(plan, file, file.json_path)
        return
    write = writer_of(plan, file, pixels)
    is_folder = plan.format in FOLDERS
    overwrite = plan.options.overwrite
    with part_of(file.path, is_folder=is_folder, overwrite=overwrite) as part:
        yield from watched(lambda tick: write(part, tick))
        # First: a raw file is never without the place of its pixels.
        if file.json_path:
            write_json(plan, file, file.json_path)
