"""One run of the "Export region" form."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ._export_results import with_consent, without_pixels

if TYPE_CHECKING:
    from collections.abc import Generator

    from ...engines import Progress
    from .._export_preview import ExportPreview
    from ._run_part import Names


class ExportRun:
    """What a run does, and then, without its pixels, what it has done.

    Parameters
    ----------
    preview : ExportPreview
        What is to be done, with a plan.
    """

    def __init__(self, preview: ExportPreview) -> None:
        assert preview.plan is not None
        self._preview: ExportPreview | None = preview
        self.plan = without_pixels(preview.plan)
        self.n_bytes = 0
        """What was written takes so much of a local disk; 0 before the end."""

    def engine(self) -> Generator[Progress, None, Names]:
        """Write the files, in the stored axis order; an engine for a thread."""
        from ...engines import write_export
        from .._export_stored import plan_in_stored_order

        preview, self._preview = self._preview, None
        assert preview is not None
        plan = plan_in_stored_order(preview)
        plan = with_consent(plan, is_agreed=bool(preview.existing))
        self.plan = without_pixels(plan)
        del preview
        written: Names = yield from write_export(plan)
        self.n_bytes = sum(_size_of(file.path) for file in self.plan.files)
        return written


def _size_of(path: str) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    if not os.path.isdir(path):
        return os.path.getsize(path) if os.path.isfile(path) else 0
    return sum(
        os.path.getsize(os.path.join(folder, name))
        for folder, _, names in os.walk(path)
        for name in names
    )
