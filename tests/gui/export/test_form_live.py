"""The "Export region" form while it is used: tabs, moving views, small windows."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QComboBox, QWidget

from napari_msimage.engines import bytes_in_words
from napari_msimage.plugin._export_wish import SELECTED
from napari_msimage.plugin.widgets import _export_planning
from napari_msimage.plugin.widgets._export_region import ExportRegion
from napari_msimage.plugin.widgets._jobs import Questions

from ..conftest import settle

pytestmark = pytest.mark.gui


@pytest.fixture
def dock(viewer, form):
    """Return the dock of the form."""
    (dock,) = viewer.window._wrapped_dock_widgets.values()
    return dock


@pytest.fixture
def plans(monkeypatch):
    """Return the plans that are made; each takes ``plans.seconds`` longer."""

    class Plans(list):
        seconds = 0.0

        def make(self, snapshot):
            time.sleep(self.seconds)
            self.append(real(snapshot))
            return self[-1]

    found, real = Plans(), _export_planning.preview_of
    monkeypatch.setattr(_export_planning, "preview_of", found.make)
    return found


def add_image(viewer, *shape, **arguments):
    finest = np.random.default_rng(5).integers(1, 200, shape or (90, 130), np.uint8)
    coarse = finest[..., ::2, ::2]
    return viewer.add_image([finest, coarse], multiscale=True, **arguments)


def polygons(n, side, radius):
    centres = np.random.default_rng(0).uniform(radius, side - radius, (n, 1, 2))
    angles = np.linspace(0, 2 * np.pi, 9)[:-1]
    return list(centres + radius * np.stack([np.sin(angles), np.cos(angles)], -1))


# Where it is


def test_a_form_behind_another_tab_draws_and_plans_nothing(
    viewer, form, dock, planned, plans, gaps, qtbot
):
    add_image(viewer)
    planned()
    other = viewer.window.add_dock_widget(QWidget(), name="other")
    settle(20)
    viewer.window._qt_window.tabifyDockWidget(dock, other)
    settle(20)
    other.raise_()
    qtbot.waitUntil(lambda: form._outline.segments is None)
    n_plans, before = len(plans), form.table.rows[0].shapes
    viewer.scene.camera.zoom *= 3
    gaps(0.6)
    assert len(plans) == n_plans
    assert form._outline.segments is None
    dock.raise_()
    qtbot.waitUntil(lambda: form._outline.segments is not None)
    planned()
    assert form.table.rows[0].shapes != before


def test_a_form_that_was_never_shown_draws_nothing(viewer, folder, end_forms, qtbot):
    form = ExportRegion(viewer)
    try:
        add_image(viewer)
        qtbot.waitUntil(lambda: not form.is_planning, timeout=20_000)
        assert form._preview.segments is not None
        assert form._outline.segments is None
        assert "msimage_export" not in viewer.scene.overlays
    finally:
        end_forms(form)


def test_a_floating_form_goes_on(viewer, form, dock, planned):
    add_image(viewer)
    planned()
    for is_floating in (True, False):
        dock.setFloating(is_floating)
        settle(20)
        before = planned().segments
        assert form._outline.segments is not None
        viewer.scene.camera.zoom *= 2
        assert form.is_planning
        assert planned().segments is form._outline.segments is not before


def test_a_window_that_was_minimised_is_caught_up_with(viewer, form, planned, qtbot):
    add_image(viewer)
    planned()
    viewer.window._qt_window.showMinimized()
    settle(20)
    viewer.scene.camera.zoom *= 2
    viewer.window._qt_window.showNormal()
    settle(20)
    planned()
    qtbot.waitUntil(lambda: form._outline.segments is form._preview.segments)


# While things move


def test_every_plan_is_shown_while_a_shape_is_edited(
    viewer, form, planned, plans, gaps
):
    add_image(viewer, 900, 900)
    layer = viewer.add_shapes([np.array([[4, 4], [14, 24]])])
    form.place.region.value = "shapes"
    planned()
    n_plans, plans.seconds = len(plans), 0.25
    seen = set()

    def edit():
        if time.monotonic() > edit.next:
            edit.next += 0.08
            layer.data = [layer.data[0] + [[0, 0], [1, 2]] * 2]
        seen.add(form.table.rows[0].shapes)

    edit.next = time.monotonic()
    gaps(3, each=edit)
    n_plans = len(plans) - n_plans
    assert n_plans > 2
    assert len(seen) >= n_plans
    assert form.is_planning
    bottom, right = layer.data[0].max(axis=0)
    region = planned().regions[0]
    np.testing.assert_allclose(region.upper, (bottom + 0.5, right + 0.5))


def test_run_waits_for_the_newest_plan(viewer, form, folder, planned, plans, qtbot):
    add_image(viewer, 900, 900)
    planned()
    plans.seconds = 0.3
    n_plans = len(plans)
    viewer.scene.camera.zoom = 20
    qtbot.waitUntil(lambda: form._life.questions.is_waiting)
    qtbot.wait(200)  # the first is being planned
    viewer.scene.camera.zoom = 40
    qtbot.waitUntil(lambda: len(plans) == n_plans + 1)
    settle()
    assert form.is_planning
    form.run.native.click()
    qtbot.waitUntil(lambda: form._written is not None, timeout=20_000)
    (path,) = folder.glob("*.npy")
    assert np.load(path).shape == plans[n_plans + 1].rows[0].shapes[0]
    assert plans[n_plans].rows[0].shapes != plans[n_plans + 1].rows[0].shapes


def test_the_level_on_the_screen_is_looked_up_now_and_then(
    viewer, form, planned, gaps, monkeypatch
):
    add_image(viewer, 900, 900)
    viewer.add_shapes(polygons(3, 900, 40), shape_type="polygon")
    form.place.region.value = "shapes"
    planned()
    form.level.value = "screen"
    planned()
    asked, real = [], ExportRegion._is_other_level

    def is_other(form):
        asked.append(form)
        return real(form)

    monkeypatch.setattr(ExportRegion, "_is_other_level", is_other)

    def move():
        viewer.scene.camera.center = np.add(viewer.scene.camera.center, (0, 1, 1))

    gaps(1, each=move)
    assert 0 < len(asked) < 8
    assert not form.is_planning


def test_the_window_goes_on_with_many_shapes(viewer, form, planned, gaps):
    add_image(viewer, 4096, 4096)
    viewer.add_shapes(polygons(300, 4096, 60), shape_type="polygon")
    form.place.region.value = "shapes"
    planned()
    form.level.value = "screen"
    planned()
    zooms = iter([1.3] * 40 + [1 / 1.3] * 1000)

    def move():
        viewer.scene.camera.zoom *= next(zooms)

    gaps(0.5)
    alone = max(gaps(0.3), 0.05)
    assert gaps(2, each=move) < 0.4 + alone


# What is said


def test_a_result_stays_said_until_something_else_would_be_written(
    viewer, form, folder, planned, qtbot
):
    add_image(viewer, 900, 900)
    viewer.reset_view()
    planned()
    form.run.native.click()
    qtbot.waitUntil(lambda: form._written is not None, timeout=20_000)
    planned()
    assert form.message.startswith("Exported")
    form._on_view()  # the same as before
    planned()
    assert form.message.startswith("Exported")
    assert form.open_result.visible
    viewer.scene.camera.zoom *= 8
    planned()
    assert form.message.startswith("1 file, about ")
    assert form.open_result.visible


def test_replaced_pixels_are_planned_anew(viewer, form, folder, planned, qtbot):
    layer = viewer.add_image(np.zeros((40, 60), np.uint8))
    form.place.region.value = "whole"
    planned()
    form.run.native.click()
    qtbot.waitUntil(lambda: form._written is not None, timeout=20_000)
    planned()
    layer.data = np.zeros((400, 60), np.uint8)
    planned()
    assert form.message.startswith("1 file, about 24.4 KiB")


# Small windows


@pytest.mark.parametrize("width", [300, 390])
@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((20, 100, 120), {"scale": (2.5, 0.325, 0.325), "units": "micrometer"}),
        ((9000, 10_000), {"scale": (1000, 1000)}),
    ],
)
def test_the_table_is_whole_in_a_narrow_dock(
    viewer, form, dock, planned, width, shape, arguments
):
    add_image(viewer, *shape, **arguments)
    form.place.region.value = "whole"
    planned()
    window = viewer.window._qt_window
    window.resize(1200, 700)
    settle(20)
    window.resizeDocks([dock], [width], Qt.Orientation.Horizontal)
    settle(20)
    assert form.native.width() == width
    table = form.table.native
    header = table.horizontalHeader()
    shown = [i for i in range(header.count()) if not header.isSectionHidden(i)]
    assert {0, 1, 3, 5} <= set(shown)
    for column in shown:
        needed = max(table.sizeHintForColumn(column), header.sectionSizeHint(column))
        assert header.sectionSize(column) >= needed
    assert header.length() == table.viewport().width()
    assert not table.horizontalScrollBar().isVisible()


def test_the_wheel_scrolls_the_form_and_changes_no_field(viewer, form, planned):
    add_image(viewer)
    planned()
    before = form.wish
    for box in form.native.findChildren(QComboBox):
        assert box.focusPolicy() == Qt.FocusPolicy.StrongFocus
        middle = box.rect().center()
        event = QWheelEvent(
            QPointF(middle),
            QPointF(box.mapToGlobal(middle)),
            QPoint(0, -120),
            QPoint(0, -120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(box, event)
    assert form.wish == before


# The keyboard, and what is offered


def test_levels_are_chosen_by_arrow_keys(viewer, form, planned, qtbot):
    add_image(viewer)
    form.place.region.value = "whole"
    planned()
    table = form.table.native
    assert table.focusPolicy().value & Qt.FocusPolicy.TabFocus.value
    for key, level in (
        (Qt.Key.Key_Down, 1),
        (Qt.Key.Key_Down, 1),
        (Qt.Key.Key_Up, 0),
        (Qt.Key.Key_End, 1),
        (Qt.Key.Key_Home, 0),
    ):
        qtbot.keyClick(table, key)
        assert form.level.value == form.table.chosen == level
    qtbot.keyClick(table, Qt.Key.Key_Down)
    assert planned().level == 1


def offered(form):
    return {value for _, value in form._offers["mask"]}


def test_transparent_pixels_are_offered_where_they_can_be(viewer, form, planned):
    rng = np.random.default_rng(2)
    gray = viewer.add_image(rng.integers(0, 9, (40, 60), np.uint8), name="gray")
    viewer.add_image(rng.integers(0, 9, (40, 60, 3), np.uint8), rgb=True, name="rgb")
    viewer.add_image(rng.integers(0, 9, (40, 60), np.uint16), name="deep")
    viewer.add_shapes(polygons(2, 40, 5), shape_type="polygon")
    form.place.region.value = "shapes"
    clear = {}
    for name in ("gray", "rgb", "deep"):
        viewer.layers.selection.active = viewer.layers[name]
        for target in ("png", "ome-tiff", "npy"):
            form.format.value = target
            planned()
            clear[name, target] = "alpha" in offered(form)
    assert {key for key, is_clear in clear.items() if is_clear} == {
        ("gray", "png"),
        ("rgb", "png"),
        ("rgb", "ome-tiff"),
    }
    viewer.layers.selection.active = gray
    form.format.value = "ome-tiff"
    form.colors.value = True
    planned()
    assert "alpha" in offered(form)
    form.mask.value = "alpha"
    assert planned().error is None
    form.colors.value = False
    planned()
    assert form.mask.value == "keep"
    assert not form.is_message_error


# Several layers, folders


def test_selected_layers_stay_chosen_when_layers_are_added(
    viewer, form, planned, qtbot
):
    layers = [viewer.add_image(np.full((40, 50), i, np.uint8)) for i in (1, 2)]
    viewer.layers.selection = set(layers)
    form.image.value = SELECTED
    form.place.region.value = "whole"
    form.format.value = "layer"
    planned()
    form.run.native.click()
    planned()
    assert len(viewer.layers) == 4
    assert form.image.value == SELECTED
    assert form._preview.layer.source.shape(0) == (2, 40, 50)
    assert form.message.startswith("Added")


def test_the_size_of_a_folder_is_told(viewer, form, folder, planned, qtbot):
    viewer.add_image(np.arange(10**6, dtype=np.uint32).reshape(1000, 1000))
    form.format.value = "ome-zarr"
    form.place.region.value = "whole"
    planned()
    form.run.native.click()
    qtbot.waitUntil(lambda: form.message.startswith("Exported"), timeout=20_000)
    n_bytes = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    assert f"({bytes_in_words(n_bytes)})" in form.message


# Questions


class Asker:
    def __init__(self):
        self.answers = []
        self.questions = Questions(self.hear, 0)

    def hear(self, answer):
        self.answers.append((answer, self.questions.is_waiting))


def test_updates_wait_for_the_question_that_is_being_answered(qtbot):
    asker, may_answer, n_asked = Asker(), threading.Event(), []
    asker.questions.ask(lambda: may_answer.wait(5) and "first")
    qtbot.wait(40)
    for number in range(3):
        question = lambda number=number: n_asked.append(number) or number  # noqa: E731
        asker.questions.ask(question, is_update=True)
        qtbot.wait(20)
    assert n_asked == []
    may_answer.set()
    qtbot.waitUntil(lambda: len(asker.answers) == 2)
    assert asker.answers == [("first", True), (2, False)]
    assert n_asked == [2]


def test_another_question_makes_the_updates_before_it_void(qtbot):
    asker, may_answer = Asker(), threading.Event()
    asker.questions.ask(lambda: may_answer.wait(5) and "old", is_update=True)
    qtbot.wait(40)
    asker.questions.ask(lambda: "new")
    qtbot.waitUntil(lambda: bool(asker.answers))
    may_answer.set()
    qtbot.wait(60)
    assert asker.answers == [("new", False)]
