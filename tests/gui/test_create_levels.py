"""The "Create levels" form in a real window: preview, run, cancel, what goes wrong."""

from __future__ import annotations

import shutil
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from magicgui.widgets import Widget
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QScrollArea

from napari_msimage import engines
from napari_msimage.engines import Progress
from napari_msimage.engines import _levels as engine
from napari_msimage.errors import AccessError
from napari_msimage.plugin import open_image
from napari_msimage.plugin.widgets._create_levels import CreateLevels
from napari_msimage.plugin.widgets._jobs import running_jobs
from napari_msimage.storage import MultiscaleImage

from .conftest import settle

pytestmark = pytest.mark.gui

RNG = np.random.default_rng(3)
YXC = ("y", "x", "soma_channel")


def noise(*shape, dtype="uint8"):
    return RNG.integers(1, 200, shape).astype(dtype)


@pytest.fixture
def rgb(write_soma):
    return write_soma([noise(97, 130, 3)], YXC, name="tissue.soma")


@pytest.fixture
def large(write_soma):
    return write_soma([np.tile(noise(90, 80), (100, 100))], ("y", "x"))


@pytest.fixture
def add_form(viewer, qtbot):
    """Return a function that adds the form to the window, as the menu does."""
    made = []

    def add(viewer=viewer):
        _, form = viewer.window.add_plugin_dock_widget(
            "napari-msimage", "Create levels"
        )
        made.append(form)
        qtbot.wait(50)
        return form

    yield add
    for job in running_jobs():
        job.cancel()
    qtbot.waitUntil(lambda: not running_jobs())
    for form in made:
        form._life.end()
    names = {"napari-msimage question", "napari-msimage levels of layers"}
    qtbot.waitUntil(lambda: not names & {t.name for t in threading.enumerate()})
    settle()


@pytest.fixture
def form(add_form):
    """Return the form, without any image open."""
    return add_form()


@pytest.fixture
def slow(monkeypatch):
    """Replace the engine by one that only takes its time, and return what it notes."""
    seen = SimpleNamespace(calls=[], closed=[], before=threading.Event())
    seen.before.set()

    def write_levels(uri, plan, *, client=None, context=None):
        seen.calls.append((uri, plan, client, context))
        assert seen.before.wait(10)
        try:
            for step in range(1000):
                yield Progress(step * 2**20, 1000 * 2**20)
                time.sleep(0.02)
        finally:
            seen.closed.append(threading.current_thread())

    monkeypatch.setattr(engines, "write_levels", write_levels)
    return seen


@pytest.fixture
def wait_for(qtbot):
    """Return a function that waits until something is so."""

    def wait(is_so, timeout=4000):
        qtbot.waitUntil(is_so, timeout=timeout)

    return wait


def new(form):
    """Return what the preview says of the levels to make."""
    return [(row.key, row.shape) for row in form.table.rows if row.state != "there"]


def keys_of(uri):
    with MultiscaleImage.open(uri) as image:
        return list(image.levels())


def shapes(layer):
    return [tuple(level.shape) for level in layer.data]


def start(form, wait_for):
    wait_for(lambda: form.run.enabled)
    form.run.native.click()


# The preview


def test_without_an_image_it_says_what_to_do(form):
    assert not form.run.enabled
    assert form.message == "Open a SOMA image, or enter the address of one."


def test_the_selected_image_is_chosen_and_the_preview_follows_every_change(
    viewer, add_form, write_soma, wait_for
):
    rgb = write_soma([noise(97, 130, 3)], YXC, name="tissue.soma")
    volume = write_soma(
        [noise(2, 12, 40, 50, dtype="uint16")],
        ("soma_channel", "z", "y", "x"),
        ("x", "y", "z"),
        name="cells.soma",
    )
    open_image(rgb, viewer)
    viewer.layers.selection.active = open_image(volume, viewer)[1]
    form = add_form()
    assert form.image.value.name == "cells"
    wait_for(lambda: form.message.startswith("'cells' lacks no level"))
    assert not form.run.enabled

    form.max_side.value = 25
    wait_for(lambda: new(form) == [("level1", (2, 6, 20, 25))])
    assert form.run.enabled
    assert form.message.startswith("At most 11.7 KiB on disk")
    form.steps["step_z"].value = 1
    wait_for(lambda: new(form) == [("level1", (2, 12, 20, 25))])
    form.keys.value = "coarse"
    wait_for(lambda: new(form) == [("coarse", (2, 12, 20, 25))])
    form.keys.value = ""
    form.mode.value = "count"
    form.n_levels.value = 2
    wait_for(lambda: len(new(form)) == 2)
    form.mode.value = "factors"
    form.factors.value = "x=5 y=4 z=2; 10"
    wait_for(lambda: [s for _, s in new(form)] == [(2, 6, 10, 10), (2, 1, 4, 5)])
    form.mode.value = "shapes"
    form.shapes.value = "2 x 12 x 20 x 10"
    wait_for(lambda: new(form) == [("level1", (2, 12, 20, 10))])
    assert form.table.rows[0].key == "level0"

    viewer.layers.selection.active = viewer.layers[0]
    assert form.image.value.name == "tissue"
    form.mode.value = "side"
    form.max_side.value = 70
    wait_for(lambda: new(form) == [("level1", (49, 65, 3))])
    assert [box.label for box in form.steps] == ["x", "y"]


def test_only_fields_that_matter_are_there(form):
    fields = {"max_side", "n_levels", "factors", "shapes", "steps", "between"}
    for mode, expected in {
        "side": {"max_side", "steps", "between"},
        "count": {"n_levels", "steps", "between"},
        "factors": {"factors"},
        "shapes": {"shapes"},
    }.items():
        form.mode.value = mode
        assert {name for name in fields if getattr(form, name).visible} == expected


def test_every_field_has_a_tooltip(form):
    fields = {
        name: value.tooltip
        for name, value in vars(form).items()
        if isinstance(value, Widget) and not name.startswith("_") and name != "bar"
    }
    assert len(fields) > 15
    assert [name for name, tooltip in fields.items() if not tooltip] == []


def test_tab_leaves_the_table_and_stops_nowhere_in_vain(form):
    assert not form.table.native.tabKeyNavigation()
    for area in form.native.findChildren(QScrollArea):
        assert area.focusPolicy() == Qt.FocusPolicy.NoFocus


def test_an_address_that_nobody_opened(form, rgb, wait_for, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: rgb)
    assert form.address.native.isVisible()
    form.max_side.value = 70
    form.browse.native.click()
    assert form.address.value == rgb
    start(form, wait_for)
    wait_for(lambda: form.message.startswith("Made level1 of 'tissue' in"))
    assert keys_of(rgb) == ["level0", "level1"]


def test_the_choice_follows_the_layers(viewer, form, rgb, write_soma, wait_for):
    other = write_soma([noise(20, 30)], ("y", "x"), name="other.soma")
    (layer,) = open_image(rgb, viewer)
    assert form.image.value.name == "tissue"
    open_image(other, viewer)
    assert _texts(form.image) == ["tissue", "other", "Folder or URI…"]
    form.image.value = form.image.choices[0]
    viewer.layers.remove(layer)
    assert form.message == "'tissue' was closed."
    assert form.image.value.name == "other"
    viewer.layers.clear()
    assert _texts(form.image) == ["Folder or URI…"]
    assert form.message == "'other' was closed."
    assert not form.run.enabled


def _texts(combo):
    return [combo.native.itemText(i) for i in range(combo.native.count())]


# The run


def test_open_layers_show_the_new_levels_in_place(
    viewer, form, write_soma, make_napari_viewer, wait_for
):
    uri = write_soma([noise(3, 97, 130)], name="tissue.soma")
    (colour,) = open_image(uri, viewer, rgb=True)
    channels = open_image(f"file://{uri}", viewer, rgb=False)
    past = open_image(uri, viewer, rgb=True, tiledb_timestamp=int(time.time() * 1000))
    elsewhere = make_napari_viewer()
    (other,) = open_image(uri, elsewhere, rgb=True)
    channels[0].contrast_limits = (3, 99)
    channels[0].gamma = 0.5
    channels[1].colormap = "viridis"
    channels[2].visible = False
    colour.locked_data_level = 0
    viewer.layers.selection = {channels[1]}
    viewer.camera.zoom = 3.3
    viewer.camera.center = (0, 41, 52)
    layers = list(viewer.layers)
    before = viewer.screenshot(flash=False)

    form.max_side.value = 40
    start(form, wait_for)
    wait_for(lambda: form.message.startswith("Made level1 and level2 of 'tissue' in"))
    wait_for(lambda: len(other.data) == 3)

    assert shapes(colour) == [(97, 130, 3), (48, 66, 3), (24, 33, 3)]
    assert all(shapes(layer) == [(97, 130), (48, 66), (24, 33)] for layer in channels)
    assert shapes(past[0]) == [(97, 130, 3)]
    with MultiscaleImage.open(uri) as image:
        stored = np.asarray(image.level_array(2))
    np.testing.assert_array_equal(np.asarray(channels[1].data[2]), stored[1])
    np.testing.assert_array_equal(np.asarray(other.data[2]), np.moveaxis(stored, 0, -1))

    assert list(viewer.layers) == layers
    assert tuple(channels[0].contrast_limits) == (3, 99)
    assert channels[0].gamma == 0.5
    assert channels[1].colormap.name == "viridis"
    assert not channels[2].visible
    assert colour.locked_data_level == 0
    assert set(viewer.layers.selection) == {channels[1]}
    assert viewer.camera.zoom == pytest.approx(3.3)
    assert viewer.camera.center == (0, 41, 52)
    settle()
    after = viewer.screenshot(flash=False)
    assert np.abs(after.astype(int) - before).mean() < 1
    # nothing is left to do, and the result stays
    qapp_wait(500)
    assert form.message.startswith("Made")
    assert not form.run.enabled


def qapp_wait(ms):
    end = time.monotonic() + ms / 1000
    while time.monotonic() < end:
        QApplication.processEvents()


def test_an_overview_in_memory_gives_way_to_real_levels(viewer, form, large, wait_for):
    from napari_msimage.plugin._overview_job import display_of

    (layer,) = open_image(large, viewer)
    old = display_of(layer)
    assert old is not None
    assert len(layer.data) > 1
    limits = tuple(layer.contrast_limits)
    start(form, wait_for)
    wait_for(lambda: form.message.startswith("Made"))
    wait_for(lambda: display_of(layer) is not old)
    assert not display_of(layer).needs_pass
    assert max(shapes(layer)[-1]) <= 512
    assert [f"level{i}" for i in range(len(layer.data))] == keys_of(large)
    assert tuple(layer.contrast_limits) == limits
    wait_for(
        lambda: "napari-msimage overview" not in {t.name for t in threading.enumerate()}
    )


def test_replaced_levels_leave_the_screen_first_and_come_back_new(
    viewer, form, write_soma, wait_for, monkeypatch
):
    levels = [noise(96, 128), np.zeros((48, 64), "uint8"), np.zeros((24, 32), "uint8")]
    uri = write_soma(levels, ("y", "x"))
    (layer,) = open_image(uri, viewer)
    layer.locked_data_level = 2
    during = []
    write_levels = engines.write_levels

    def spied(*args, **kwargs):
        (shown,) = viewer.layers
        during.append((shapes(shown), shown.locked_data_level))
        return write_levels(*args, **kwargs)

    monkeypatch.setattr(engines, "write_levels", spied)
    form.replace.value = True
    wait_for(lambda: [row.state for row in form.table.rows] == ["there", *["anew"] * 2])
    start(form, wait_for)
    wait_for(lambda: form.message.startswith("Made level1 and level2"))
    wait_for(lambda: len(layer.data) == 3)
    assert during == [([(96, 128)], None)]
    finest = levels[0].astype(int)
    means = (finest.reshape(48, 2, 64, 2).sum((1, 3)) + 2) // 4
    np.testing.assert_array_equal(np.asarray(layer.data[1]), means)


def test_replaced_levels_come_back_after_a_cancel(
    viewer, form, write_soma, wait_for, slow
):
    uri = write_soma([noise(96, 128), noise(48, 64)], ("y", "x"))
    (layer,) = open_image(uri, viewer)
    form.replace.value = True
    start(form, wait_for)
    wait_for(lambda: len(layer.data) == 1 and bool(slow.calls))
    form.cancel.native.click()
    wait_for(lambda: shapes(layer) == [(96, 128), (48, 64)])


def test_cancel_reacts_at_once_and_leaves_the_image(
    viewer, form, rgb, wait_for, monkeypatch
):
    run_job = engine.run_job

    def slowly(*args):
        time.sleep(0.3)
        return run_job(*args)

    monkeypatch.setattr(engine, "run_job", slowly)
    (layer,) = open_image(rgb, viewer)
    data = layer.data
    form.max_side.value = 20
    start(form, wait_for)
    wait_for(lambda: form.cancel.enabled and form.bar.visible)
    begin = time.monotonic()
    form.cancel.native.click()
    wait_for(lambda: form.message.startswith("Cancelled"), timeout=1000)
    assert time.monotonic() - begin < 1
    wait_for(lambda: not running_jobs())
    assert keys_of(rgb) == ["level0"]
    assert layer.data is data
    monkeypatch.setattr(engine, "run_job", run_job)
    start(form, wait_for)
    wait_for(lambda: form.message.startswith("Made level1, level2 and level3 of"))


def test_progress_is_shown_with_speed_and_time_left(viewer, form, rgb, slow, wait_for):
    open_image(rgb, viewer)
    form.max_side.value = 70
    start(form, wait_for)
    wait_for(lambda: "MiB of 0.977 GiB" in form.message and "/s, " in form.message)
    assert form.message.endswith(" left")
    assert form.bar.value > 0
    assert not form.run.enabled
    assert not form.image.enabled
    form.cancel.native.click()
    wait_for(lambda: form.message == "Cancelled; 'tissue' is as it was.")
    assert form.image.enabled
    assert not form.bar.visible
    assert slow.closed[0] is not threading.main_thread()


def test_cancel_does_not_wait_for_a_server_that_hangs(
    viewer, form, rgb, slow, wait_for
):
    slow.before.clear()
    open_image(rgb, viewer)
    form.max_side.value = 70
    start(form, wait_for)
    wait_for(lambda: bool(slow.calls))
    form.cancel.native.click()
    assert form.message == "Cancelled; nothing was changed."
    wait_for(lambda: form.run.enabled)
    form.run.native.click()
    assert "are being made already" in form.message
    slow.before.set()
    wait_for(lambda: not running_jobs())


def test_the_scheduler_and_the_settings_are_passed_on(
    viewer, form, rgb, slow, wait_for
):
    from napari_msimage import SOMATileDBContext

    context = SOMATileDBContext(tiledb_config={"vfs.s3.region": "us-east-1"})
    open_image(rgb, viewer, context=context)
    form.max_side.value = 70
    form.scheduler.value = " tcp://127.0.0.1:9 "
    form.method.value = "max"
    start(form, wait_for)
    wait_for(lambda: bool(slow.calls))
    (uri, plan, client, found), *_ = slow.calls
    assert (uri, plan.method) == (rgb, "max")
    assert client == "tcp://127.0.0.1:9"
    assert found == context


def test_a_scheduler_that_is_not_there_is_told(
    viewer, form, rgb, wait_for, monkeypatch
):
    pytest.importorskip("distributed")
    monkeypatch.setattr("napari_msimage.engines._level_cluster.CONNECT_S", 0.3)
    open_image(rgb, viewer)
    form.max_side.value = 70
    form.scheduler.value = "tcp://127.0.0.1:9"
    start(form, wait_for)
    wait_for(lambda: form.is_message_error, timeout=10000)
    assert form.message.startswith("No dask scheduler answers at 'tcp://127.0.0.1:9'")
    assert keys_of(rgb) == ["level0"]


# What goes wrong

BAD = {
    "steps": [
        ({"steps": 1}, "larger than 1 along at least one axis"),
        ({"steps": 1e6}, "too large"),
        ({"steps": 2, "mode": "count", "n_levels": 64}, "64 levels below"),
    ],
    "factors": [
        ({"mode": "factors"}, "Write a factor per level"),
        ({"factors": "0.5"}, "at least 1, got 0.5"),
        ({"factors": "1"}, "larger than 1"),
        ({"factors": "nan"}, "finite number"),
        ({"factors": "1e300"}, "too large"),
        ({"factors": "1e999"}, "finite number"),
        ({"factors": "two"}, "Cannot read 'two'"),
        ({"factors": "w=2"}, "'w'"),
    ],
    "shapes": [
        ({"mode": "shapes", "shapes": "3 x a"}, "Cannot read '3 x a'"),
        ({"shapes": "900 x 9 x 3"}, "coarser level"),
        ({"shapes": "0 x 9 x 3"}, "between 1 and"),
        ({"shapes": "9 x 9"}, "has 2 sizes"),
    ],
    "names": [
        ({"keys": "level0"}, "finest one"),
        ({"keys": "__meta"}, "Cannot use '__meta'"),
        ({"keys": "a/b"}, "Cannot use 'a/b'"),
        ({"keys": "a" * 101}, "101 characters"),
        ({"keys": "a, b"}, "1 keys are needed"),
    ],
}


@pytest.mark.parametrize("inputs", BAD.values(), ids=BAD)
def test_bad_input_ends_in_a_sentence(viewer, form, rgb, wait_for, inputs):
    open_image(rgb, viewer)
    form.max_side.value = 70
    wait_for(lambda: form.run.enabled)
    for fields, sentence in inputs:
        for name, value in fields.items():
            for box in form.steps if name == "steps" else [getattr(form, name)]:
                box.value = value
        wait_for(lambda sentence=sentence: sentence in form.message)
        assert form.is_message_error
        assert not form.run.enabled


def test_an_existing_name_is_refused_unless_it_is_to_be_replaced(
    viewer, form, write_soma, wait_for
):
    open_image(write_soma([noise(96, 128), noise(48, 64)], ("y", "x")), viewer)
    form.mode.value = "factors"
    form.factors.value = "4"
    form.keys.value = "level1"
    wait_for(lambda: "has a level 'level1' already" in form.message)
    form.replace.value = True
    wait_for(lambda: new(form) == [("level1", (24, 32))])


@pytest.mark.parametrize(
    ("address", "sentence"),
    [("/nowhere/at/all.soma", "nowhere"), ("s3://", "s3://"), ("bad\0name", "name")],
    ids=["missing", "no bucket", "NUL"],
)
def test_an_address_without_image_is_told(form, wait_for, address, sentence):
    form.address.value = address
    wait_for(lambda: form.is_message_error)
    assert sentence in form.message


def test_timestamps_cannot_be_combined(form, wait_for, tmp_path):
    uri = str(tmp_path / "times.soma")
    with MultiscaleImage.create(uri, type="M8[s]", level_shape=(1, 40, 50)):
        pass
    form.address.value = uri
    wait_for(lambda: "timestamps" in form.message)
    assert form.is_message_error


def test_the_past_cannot_be_changed(viewer, form, rgb, wait_for):
    open_image(rgb, viewer, tiledb_timestamp=int(time.time() * 1000))
    wait_for(lambda: form.is_message_error)
    assert form.message.startswith("'tissue' is shown as it was in the past")


def test_levels_outside_need_consent(form, write_soma, tmp_path, wait_for):
    uri = write_soma([noise(96, 128)], ("y", "x"), level_uri=str(tmp_path / "else"))
    form.address.value = uri
    wait_for(lambda: form.is_message_error)
    assert "outside its own folder" in form.message


def test_a_read_only_image_is_told(viewer, form, rgb, wait_for, monkeypatch):
    def refuse(*_, **__):
        raise AccessError("cannot write to the image: permission denied")

    monkeypatch.setattr(engine, "stage_levels", refuse)
    open_image(rgb, viewer)
    form.max_side.value = 70
    start(form, wait_for)
    wait_for(lambda: form.is_message_error)
    assert form.message == "Cannot write to the image: permission denied."


def test_too_little_disk_is_told(viewer, form, rgb, wait_for, monkeypatch):
    open_image(rgb, viewer)
    form.max_side.value = 70
    wait_for(lambda: form.run.enabled)
    monkeypatch.setattr(
        "napari_msimage.storage._staging.shutil.disk_usage",
        lambda _: SimpleNamespace(total=10, used=9, free=1),
    )
    start(form, wait_for)
    wait_for(lambda: form.is_message_error)
    assert "space" in form.message
    assert keys_of(rgb) == ["level0"]


def test_an_image_removed_while_running_is_told(
    viewer, form, rgb, wait_for, monkeypatch
):
    run_job = engine.run_job
    may_go_on = threading.Event()

    def late(*args):
        assert may_go_on.wait(10)
        return run_job(*args)

    monkeypatch.setattr(engine, "run_job", late)
    open_image(rgb, viewer)
    form.max_side.value = 70
    start(form, wait_for)
    wait_for(lambda: bool(running_jobs()) and running_jobs()[0].progress is not None)
    shutil.rmtree(rgb)
    may_go_on.set()
    wait_for(lambda: form.is_message_error)
    assert "removed" in form.message


def test_a_bug_is_told_without_a_dialog(
    viewer, form, rgb, wait_for, monkeypatch, caplog
):
    def fail(*_, **__):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(engine, "stage_levels", fail)
    open_image(rgb, viewer)
    form.max_side.value = 70
    start(form, wait_for)
    wait_for(lambda: form.is_message_error)
    assert "unexpected error, ZeroDivisionError: oops" in form.message
    wait_for(lambda: form.run.enabled)
    caplog.clear()  # its traceback keeps the layers


def test_two_runs_at_once(
    viewer, form, rgb, slow, wait_for, make_napari_viewer, add_form
):
    other_viewer = make_napari_viewer(show=True)
    other = add_form(other_viewer)
    for each in (viewer, other_viewer):
        open_image(rgb, each)
    for each in (form, other):
        each.max_side.value = 70
        wait_for(lambda each=each: each.run.enabled)
    form.run.native.click()
    other.run.native.click()
    assert other.is_message_error
    assert other.message.startswith("Levels of 'tissue' are being made already.")
    assert len(running_jobs()) == 1


# What goes away while it runs


def test_layers_may_be_removed(viewer, form, rgb, wait_for, monkeypatch):
    run_job = engine.run_job
    may_go_on = threading.Event()
    monkeypatch.setattr(
        engine, "run_job", lambda *args: may_go_on.wait(10) and run_job(*args)
    )
    open_image(rgb, viewer)
    form.max_side.value = 70
    start(form, wait_for)
    wait_for(lambda: bool(running_jobs()) and running_jobs()[0].progress is not None)
    viewer.layers.clear()
    may_go_on.set()
    wait_for(lambda: form.message.startswith("Made level1 of 'tissue'"))
    assert keys_of(rgb) == ["level0", "level1"]


def test_closing_the_dock_cancels(viewer, form, rgb, slow, wait_for):
    open_image(rgb, viewer)
    form.max_side.value = 70
    start(form, wait_for)
    wait_for(lambda: bool(running_jobs()) and running_jobs()[0].progress is not None)
    (dock,) = (
        d for d in viewer.window._wrapped_dock_widgets.values() if "levels" in d.name
    )
    dock.destroyOnClose()
    wait_for(lambda: not running_jobs(), timeout=1500)
    assert len(slow.closed) == 1
    viewer.layers.clear()  # the form hears of it no more


def test_hiding_the_dock_does_not_cancel(viewer, form, rgb, slow, wait_for):
    open_image(rgb, viewer)
    form.max_side.value = 70
    start(form, wait_for)
    (dock,) = (
        d for d in viewer.window._wrapped_dock_widgets.values() if "levels" in d.name
    )
    dock.setVisible(False)
    qapp_wait(300)
    assert len(running_jobs()) == 1
    dock.setVisible(True)
    assert form.cancel.enabled


def test_closing_the_viewer_cancels(make_napari_viewer, add_form, rgb, slow, wait_for):
    viewer = make_napari_viewer(show=True)
    form = add_form(viewer)
    open_image(rgb, viewer)
    form.max_side.value = 70
    start(form, wait_for)
    wait_for(lambda: bool(running_jobs()) and running_jobs()[0].progress is not None)
    viewer.close()
    wait_for(lambda: not running_jobs(), timeout=1500)
    assert len(slow.closed) == 1


# Where it is


def test_menus_and_palette_offer_it(viewer):
    from napari._app_model import get_app_model

    menus = get_app_model().menus
    for menu in ("napari/layers/data", menus.COMMAND_PALETTE_ID):
        titles = [
            item.command.title
            for item in menus.get_menu(menu)
            if getattr(item, "command", None) is not None
            and item.command.id == "napari-msimage.create_levels"
        ]
        assert titles == ["Create levels (SOMA multiscale images)"], menu


def test_the_menu_command_opens_and_hides_the_form(viewer, qtbot):
    from napari._app_model import get_app_model

    commands = get_app_model().commands
    commands.execute_command("napari-msimage.create_levels").result()
    (dock,) = viewer.window._wrapped_dock_widgets.values()
    assert isinstance(dock.inner_widget(), CreateLevels)
    settle()
    commands.execute_command("napari-msimage.create_levels").result()
    assert not dock.isVisible()


def test_the_note_about_missing_levels_leads_here(viewer, large, wait_for):
    from napari.utils.notifications import notification_manager

    open_image(large, viewer)
    wait_for(
        lambda: any(
            "Layers > Data > Create levels" in record.message
            for record in notification_manager.records
        )
    )
