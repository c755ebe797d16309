"""What every test gets: its own napari settings, a place for a store, tidy handles."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# Closing a viewer saves its window size and more: never into the developer's own
# settings. napari reads the variable once, when its settings are imported.
assert "napari.settings" not in sys.modules
_SETTINGS = tempfile.TemporaryDirectory(prefix="napari-msimage-tests-")
os.environ["NAPARI_CONFIG"] = str(Path(_SETTINGS.name, "settings.yaml"))


def _print_exception(kind, error, trace):
    traceback.print_exception(kind, error, trace)


# PyQt6 aborts the process when a slot raises while the hook is Python's own. pytest-qt
# catches such exceptions within a test; this one covers the time between tests.
sys.excepthook = _print_exception


def pytest_collection_finish() -> None:
    """Hide what collecting made from the garbage collector.

    It stays until the end, and going through it took half a second each time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def tmp_uri(tmp_path: Path) -> str:
    """Return the address of a store that does not exist yet."""
    return str(tmp_path / "tissue.soma")


def _open_handles() -> int:
    # Tests that never touch storage shall not pay for its import.
    pool = sys.modules.get("napari_msimage.storage._array_pool")
    return pool.open_handles() if pool else 0


@pytest.fixture(autouse=True)
def _no_handle_stays_open(request: pytest.FixtureRequest) -> Iterator[None]:
    before = _open_handles()
    yield
    # The traceback of a failed test holds what its frames held; one report will do.
    # (napari's pytest plugin leaves the report here.)
    report = getattr(request.node, "rep_call", None)
    if report is not None and report.failed:
        return
    if _open_handles() > before:
        gc.collect()
    left = _open_handles() - before
    assert left <= 0, f"{left} more TileDB arrays are open than before the test"
