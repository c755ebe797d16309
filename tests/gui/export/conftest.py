"""The "Export region" form in a window."""

from __future__ import annotations

import threading

import pytest

from napari_msimage.plugin._export_settings import ExportSettings, save_settings
from napari_msimage.plugin.widgets import _export_choices
from napari_msimage.plugin.widgets._jobs import running_jobs

from ..conftest import settle

TITLE = "Export region"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder that is proposed."""
    folder = tmp_path / "exported"
    folder.mkdir()
    save_settings(ExportSettings(level="0", format="npy"))
    monkeypatch.setattr(_export_choices, "_last_folder", lambda: str(folder))
    return folder


@pytest.fixture
def end_forms(viewer, qtbot):
    """Return a function that ends forms, and waits for all that they have begun."""

    def end(*forms):
        for job in running_jobs():
            job.cancel()
        qtbot.waitUntil(lambda: not running_jobs())
        for form in forms:
            form.end()
        viewer.layers.clear()
        qtbot.waitUntil(
            lambda: (
                "napari-msimage question" not in {t.name for t in threading.enumerate()}
            )
        )
        settle()

    return end


@pytest.fixture
def add_form(viewer, folder, end_forms, qtbot):
    """Return a function that adds the form to the window, as the menu does."""
    made = []

    def add(viewer=viewer):
        _, form = viewer.window.add_plugin_dock_widget("napari-msimage", TITLE)
        made.append(form)
        qtbot.waitUntil(lambda: form._is_ready, timeout=20_000)
        return form

    yield add
    end_forms(*made)


@pytest.fixture
def form(add_form):
    """Return the form, without any layer open."""
    return add_form()


@pytest.fixture
def wait_for(qtbot):
    """Return a function that waits until something is so."""

    def wait(is_so, timeout=10_000):
        qtbot.waitUntil(is_so, timeout=timeout)

    return wait


@pytest.fixture
def planned(form, wait_for):
    """Return a function that waits until what is filled in was planned."""

    def wait():
        wait_for(lambda: not form.is_planning)
        assert form._preview is None or form._preview.wish == form.wish
        return form._preview

    return wait
