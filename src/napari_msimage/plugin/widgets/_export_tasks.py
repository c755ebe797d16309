"""What the "Export region" form has done in other threads; imports are done there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .._export_preview import ExportPreview, ExportSnapshot

_READY: Final = "ready"


def preview_of(snapshot: ExportSnapshot) -> ExportPreview:
    """Return what an export would write."""
    from .._export_preview import preview_export

    return preview_export(snapshot)


def warm_up() -> str:
    """Import what a preview needs, before it does: imports stop the window."""
    from .. import _export_displayed, _export_new_layer, _export_preview  # noqa: F401

    return _READY
