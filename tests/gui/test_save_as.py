"""The "Save as SOMA image" form in a real window: layers, preview, run, errors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
from magicgui.widgets import Widget
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QFileDialog, QMessageBox, QStyle, QStyleOptionComboBox

from napari_msimage import write_layers
from napari_msimage.engines import Progress
from napari_msimage.errors import StorageError
from napari_msimage.plugin import _save_plan, open_image
from napari_msimage.plugin.widgets import _save_as
from napari_msimage.plugin.widgets._jobs import running_jobs
from napari_msimage.plugin.widgets._save_as import SaveAs
from napari_msimage.plugin.widgets._save_place import free_place, full_place, unquoted
from napari_msimage.storage import MultiscaleImage, Scene

from .conftest import settle

pytestmark = pytest.mark.gui

RNG = np.random.default_rng(3)
TITLE = "Save as SOMA image"


def noise(*shape, dtype="uint8"):
    return RNG.integers(1, 200, shape).astype(dtype)


class LazyLevel:
    """A level of any size whose pixels are made as they are read, all of them 7."""

    def __init__(self, *shape, before_read=lambda n_read: None):
        self.shape, self.dtype, self.ndim = shape, np.dtype("uint8"), len(shape)
        self.chunks = (512, 512)
        self.before_read = before_read
        self.n_read = 0

    @property
    def size(self):
        return int(np.prod(self.shape))

    def __getitem__(self, key):
        self.before_read(self.n_read)
        self.n_read += 1
        return np.full((), 7, "uint8")[()] + np.zeros(
            np.broadcast_to(np.uint8(0), self.shape)[key].shape, "uint8"
        )

    def __array__(self, dtype=None, copy=None):
        return self[...]


def lazy_levels(side, n_levels, **level0):
    """Return square levels of which napari only reads what it shows."""
    coarser = [LazyLevel(side >> i, side >> i) for i in range(1, n_levels)]
    return [LazyLevel(side, side, **level0), *coarser]


def add_lazy(viewer, levels, **kwargs):
    return viewer.add_image(
        levels, multiscale=True, contrast_limits=(0, 255), name="huge", **kwargs
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder that is proposed."""
    folder = tmp_path / "saved"
    folder.mkdir()
    monkeypatch.setattr(_save_as, "last_folder", lambda: str(folder))
    return folder


@pytest.fixture
def add_form(viewer, folder, qtbot):
    """Return a function that adds the form to the window, as the menu does."""
    made = []

    def add(viewer=viewer):
        _, form = viewer.window.add_plugin_dock_widget("napari-msimage", TITLE)
        made.append(form)
        qtbot.wait(50)
        return form

    yield add
    for job in running_jobs():
        job.cancel()
    qtbot.waitUntil(lambda: not running_jobs())
    viewer.layers.clear()
    for form in made:
        form._life.end()
    qtbot.waitUntil(
        lambda: "napari-msimage question" not in {t.name for t in threading.enumerate()}
    )
    settle()


@pytest.fixture
def form(add_form):
    """Return the form, without any layer open."""
    return add_form()


@pytest.fixture
def wait_for(qtbot):
    """Return a function that waits until something is so."""

    def wait(is_so, timeout=5000):
        qtbot.waitUntil(is_so, timeout=timeout)

    return wait


@pytest.fixture
def slow(monkeypatch):
    """Replace the engine by one that only takes its time, and return what it notes."""
    seen = SimpleNamespace(wishes=[], closed=[])

    def save_layers(layers, wish, watch):
        seen.wishes.append(wish)
        try:
            for step in range(1000):
                yield Progress(step * 2**20, 1000 * 2**20)
                time.sleep(0.02)
        finally:
            seen.closed.append(threading.current_thread())

    monkeypatch.setattr(_save_plan, "save_layers", save_layers)
    return seen


@pytest.fixture
def held(monkeypatch):
    """Hold runs back, and return the event that lets them go."""
    may_go_on = threading.Event()
    save_layers = _save_plan.save_layers

    def late(*args):
        yield Progress(0, 0)
        assert may_go_on.wait(20)
        return (yield from save_layers(*args))

    monkeypatch.setattr(_save_plan, "save_layers", late)
    yield may_go_on
    may_go_on.set()


@pytest.fixture
def asked(monkeypatch):
    """Return the questions that are asked; all are answered by ``asked.answer``."""
    seen = SimpleNamespace(questions=[], answer=True)

    def confirm(parent, title, question, details, action):
        seen.questions.append(f"{question} {details}")
        return seen.answer

    monkeypatch.setattr(_save_as, "confirm", confirm)
    return seen


def run(form, wait_for):
    wait_for(lambda: form.run.enabled)
    form.run.native.click()


def save(form, wait_for):
    """Run, and return the address of the result."""
    run(form, wait_for)
    wait_for(lambda: form._part.is_running is False and "Looking" not in form.message)
    assert form.message.startswith("Saved"), form.message
    return form.destination.value


def is_running():
    return bool(running_jobs()) and running_jobs()[0].progress is not None


def names(layers):
    return [layer.name for layer in layers]


def rows(form):
    return [(row.key, row.shape, row.state) for row in form.table.rows]


def to_world(layer, point):
    return np.array(layer.data_to_world(point))


# The layers


def test_without_layers_it_says_what_to_do(form):
    assert not form.run.enabled
    assert form.message == "Open an image first; its layers can be saved then."


def test_layers_are_listed_as_in_napari_and_the_selected_ones_checked(viewer, add_form):
    viewer.add_image(noise(40, 50), name="DAPI")
    viewer.add_labels(noise(40, 50), name="nuclei")
    viewer.add_points(np.ones((2, 2)), name="spots")
    viewer.layers.selection = {viewer.layers["DAPI"]}
    form = add_form()
    assert names(form.layers.layers) == ["spots", "nuclei", "DAPI"]
    assert names(form.layers.checked) == ["DAPI"]
    assert not form.layers.native.item(0).flags() & Qt.ItemFlag.ItemIsEnabled


def test_the_list_follows_the_viewer(viewer, form):
    dapi = viewer.add_image(noise(40, 50), name="DAPI")
    assert names(form.layers.checked) == ["DAPI"]
    gfp = viewer.add_image(noise(40, 50), name="GFP")
    assert names(form.layers.checked) == ["GFP"]
    viewer.layers.selection = {dapi, gfp}
    assert names(form.layers.checked) == ["DAPI", "GFP"]
    dapi.name = "nuclei"
    assert names(form.layers.checked) == ["nuclei", "GFP"]
    assert form.layers.native.item(1).text() == "nuclei"
    viewer.layers.move(0, 2)
    assert names(form.layers.checked) == ["GFP", "nuclei"]
    viewer.layers.remove(gfp)
    assert names(form.layers.layers) == ["nuclei"]
    viewer.layers.clear()
    assert form.layers.layers == []


def test_a_checked_layer_is_in_sight(viewer, form):
    for number in range(20):
        viewer.add_image(noise(4, 5), name=f"{number}")
    for number in (0, 19, 10):
        viewer.layers.selection = {viewer.layers[f"{number}"]}
        box = form.layers.native
        settle()
        item = box.item(19 - number)
        assert box.viewport().rect().contains(box.visualItemRect(item))


def test_long_names_are_told_apart(viewer, form):
    for number in range(2):
        viewer.add_image(noise(4, 5), name=f"{'a long name of a layer ' * 5} {number}")
    assert form.layers.native.textElideMode() == Qt.TextElideMode.ElideMiddle
    assert form.table.native.textElideMode() == Qt.TextElideMode.ElideMiddle


def test_layers_checked_by_hand_stay_checked(viewer, form):
    dapi = viewer.add_image(noise(40, 50), name="DAPI")
    gfp = viewer.add_image(noise(40, 50), name="GFP")
    form.layers.check(dapi)
    form.layers.check(gfp, False)
    assert names(form.layers.checked) == ["DAPI"]
    viewer.layers.selection = {gfp}
    viewer.add_image(noise(40, 50), name="RFP")
    assert names(form.layers.checked) == ["DAPI"]
    viewer.layers.remove(dapi)  # none is left
    viewer.layers.selection = {gfp}
    assert names(form.layers.checked) == ["GFP"]


def test_nothing_checked_says_what_to_do(viewer, form, wait_for):
    layer = viewer.add_image(noise(40, 50))
    wait_for(lambda: form.run.enabled)
    form.layers.check(layer, False)
    assert form.message == "Tick the layers to be saved in the list above."
    assert not form.run.enabled
    assert form.table.rows == []


# The destination


def test_a_free_place_named_like_the_layer_is_proposed(viewer, form, folder):
    (folder / "tissue.soma").mkdir()
    layer = viewer.add_image(noise(40, 50), name="tissue")
    assert form.destination.value == f"{folder}/tissue-2.soma"
    layer.name = "a/b: c"
    assert form.destination.value == f"{folder}/a_b_ c.soma"
    form.destination.value = f"{folder}/mine.soma"
    viewer.add_image(noise(40, 50), name="other")
    assert form.destination.value == f"{folder}/mine.soma"


def test_places_below_an_address_are_not_looked_at():
    assert free_place("s3://bucket/x", "a") == "s3://bucket/x/a.soma"


@pytest.mark.parametrize(
    "typed", ["/a b/c.soma", " /a b/c.soma ", '"/a b/c.soma"', "'/a b/c.soma'"]
)
def test_quotes_around_a_place_are_none_of_it(form, typed):
    form.destination.value = typed
    assert form.wish.destination == "/a b/c.soma"


def test_quotes_within_a_place_stay():
    assert unquoted("/a/it's.soma") == "/a/it's.soma"
    assert unquoted("\"/a/b.soma'") == "\"/a/b.soma'"


def test_a_relative_place_is_told_in_full(
    viewer, form, tmp_path, wait_for, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    viewer.add_image(noise(40, 50))
    form.destination.value = "here.soma"
    wait_for(lambda: form.run.enabled)
    full = os.path.join(os.getcwd(), "here.soma")
    assert form.message.startswith(f"An image at {full!r}, at most")
    save(form, wait_for)
    assert f"to {full!r} in" in form.message
    assert os.path.isdir(full)


@pytest.mark.parametrize("place", ["/a/b.soma", "~/b.soma", "s3://bucket/b.soma"])
def test_other_places_are_told_as_typed(place):
    assert full_place(place) == place


def test_browse_picks_a_folder_or_an_image(viewer, form, folder, tmp_path, monkeypatch):
    viewer.add_image(noise(40, 50), name="tissue")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: str(tmp_path))
    form.browse.native.click()
    assert form.destination.value == f"{tmp_path}/tissue.soma"
    (uri,) = write_layers(f"{tmp_path}/old.soma", viewer.layers[0])
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: uri)
    form.browse.native.click()
    assert form.destination.value == uri


def test_the_next_place_is_proposed_beside_the_last(viewer, form, tmp_path, wait_for):
    viewer.add_image(noise(40, 50), name="one")
    form.destination.value = f"{tmp_path}/here.soma"
    save(form, wait_for)
    viewer.add_image(noise(40, 50), name="two")
    assert form.destination.value == f"{tmp_path}/two.soma"


def test_a_layer_chosen_during_a_run_gets_its_own_place(
    viewer, form, folder, wait_for, held
):
    viewer.add_image(noise(40, 50), name="one")
    run(form, wait_for)
    wait_for(is_running)
    viewer.add_image(noise(40, 50), name="two")
    held.set()
    wait_for(lambda: form.message.startswith("Saved 'one'"))
    assert form.destination.value == f"{folder}/two.soma"
    wait_for(lambda: form.run.enabled)


# The fields


def test_every_field_has_a_tooltip(form):
    fields = {
        name: value.tooltip
        for name, value in vars(form).items()
        if isinstance(value, Widget) and not name.startswith("_") and name != "bar"
    }
    assert len(fields) > 12
    assert [name for name, tooltip in fields.items() if not tooltip] == []


def next_by_tab(field):
    """Return which field gets the focus when Tab is pressed in one."""
    field = field.nextInFocusChain()
    while not (
        field.focusPolicy() & Qt.FocusPolicy.TabFocus
        and field.isEnabled()
        and field.isVisible()
    ):
        field = field.nextInFocusChain()
    return field


def test_tab_visits_the_fields_from_top_to_bottom(viewer, form, wait_for):
    levels = [noise(4, 40, 50), noise(4, 20, 25)]
    viewer.add_image(levels, multiscale=True, name="a")
    viewer.add_image(noise(4, 40, 50), name="b")
    for layer in viewer.layers:  # its boxes are made anew
        viewer.layers.selection = {layer}
        wait_for(lambda: len(form.sizes) == 3)
    viewer.layers.selection = set(viewer.layers)
    wait_for(lambda: form.run.enabled)
    form._advanced.expand(animate=False)
    settle()
    seen, field = [], form.layers.native
    while form.native.isAncestorOf(field) and field not in seen:
        seen.append(field)
        field = next_by_tab(field)
    places = [field.mapTo(form.native, QPoint(0, 0)) for field in seen]
    rows_then_columns = [(place.y() // 16, place.x()) for place in places]
    assert rows_then_columns == sorted(rows_then_columns)
    for field in (*form.sizes, *form.axis_names, form.method, form.run):
        assert field.native in seen
    assert not form.table.native.tabKeyNavigation()  # Tab leaves the table


def test_choices_are_readable_in_the_narrowest_form(viewer, form, wait_for):
    viewer.add_image([noise(3, 40, 50), noise(3, 20, 25)], multiscale=True, name="a")
    viewer.add_image(noise(3, 40, 50), name="b")
    viewer.layers.selection = set(viewer.layers)
    wait_for(lambda: form.run.enabled)
    form.native.window().resize(600, 700)
    dock = form.native.parent()
    viewer.window._qt_window.resizeDocks([dock], [1], Qt.Orientation.Horizontal)
    settle()
    for field in (form.channels, form.levels, form.storage):
        box, option = field.native, QStyleOptionComboBox()
        box.initStyleOption(option)
        control = QStyle.ComplexControl.CC_ComboBox
        part = QStyle.SubControl.SC_ComboBoxEditField
        width = box.style().subControlRect(control, option, part, box).width()
        for row in range(box.count()):
            text = box.itemText(row)
            assert box.fontMetrics().horizontalAdvance(text) <= width, text


def test_axes_of_another_layer_are_not_left_standing(viewer, form, wait_for):
    viewer.add_image(noise(40, 50), scale=(2, 3), units="um")
    wait_for(lambda: [box.value for box in form.sizes] == ["3", "2"])
    viewer.add_image(noise(2, 2, 40, 50))
    wait_for(lambda: form.is_message_error)
    assert list(form.sizes) == list(form.axis_names) == []
    assert form.unit.value == ""
    viewer.layers.pop()
    wait_for(lambda: [box.value for box in form.sizes] == ["3", "2"])
    assert form.unit.value == "micrometer"
    form.layers.check(viewer.layers[0], False)
    assert list(form.sizes) == []


def test_an_error_can_be_read_in_every_theme(viewer, form, wait_for):
    viewer.add_image(noise(40, 50))
    form.unit.value = "parsnip"
    colours = []
    for theme in ("dark", "light"):
        viewer.theme = theme
        wait_for(lambda: form.is_message_error)
        colours.append(form._part.message.native.styleSheet())
    assert colours[0] != colours[1]
    assert colours[1] == f"color: {form._part._error_colour()}"


def test_what_was_said_does_not_stand_while_another_place_is_looked_at(
    viewer, form, wait_for, monkeypatch
):
    may_answer, preview = threading.Event(), _save_as._preview

    def late(*args):
        assert may_answer.wait(20)
        return preview(*args)

    viewer.add_image(noise(40, 50))
    form.destination.value = "/nowhere/at/all.soma"
    wait_for(lambda: form.is_message_error)
    monkeypatch.setattr(_save_as, "_preview", late)
    form.destination.value = "/nowhere/else.soma"
    wait_for(lambda: form.message.startswith("Looking at the layers"))
    assert not form.is_message_error
    may_answer.set()
    wait_for(lambda: "'/nowhere' does not exist" in form.message)


def test_only_fields_that_matter_are_there(viewer, form):
    viewer.add_image(noise(40, 50))
    assert not form.channels.visible
    assert not form.levels.visible
    assert not form.replace.visible
    viewer.add_image(noise(3, 40, 50))
    assert form.channels.visible
    assert form.channels.choices == ("none", 0, 1, 2)
    viewer.add_image([noise(40, 50), noise(20, 25)], multiscale=True)
    assert form.levels.choices == ("all", "current", 1)
    assert not form.channels.visible
    viewer.add_image(noise(40, 50, 3), rgb=True)
    assert not form.channels.visible
    assert not form.levels.visible
    viewer.layers.selection = set(viewer.layers)
    assert form.channels.choices == ("none", "layers")


def test_fields_are_filled_in_from_the_first_layer(viewer, form, wait_for):
    viewer.add_image(noise(40, 50), scale=(0.5, 0.25), units="um")
    wait_for(lambda: form.run.enabled)
    assert [box.value for box in form.sizes] == ["0.25", "0.5"]
    assert form.unit.value == "micrometer"
    assert [box.value for box in form.axis_names] == ["x", "y"]
    form.unit.value = "nm"
    viewer.layers[0].scale = (3, 3)
    wait_for(lambda: [box.value for box in form.sizes] == ["3", "3"])
    assert form.unit.value == "nm"  # it was typed
    viewer.add_image(noise(4, 40, 50), axis_labels=("z", "row", "column"))
    wait_for(lambda: [box.label for box in form.sizes] == ["column", "row", "z"])
    assert form.unit.value == "pixel"


def test_the_preview_follows_every_change(viewer, form, wait_for):
    viewer.add_image(noise(700, 900), name="tissue")
    wait_for(lambda: form.run.enabled)
    assert rows(form) == [
        ("level0", (700, 900), "given"),
        ("level1", (350, 450), "made"),
    ]
    assert form.table.rows[0].tiles
    assert form.message.startswith("An image, at most 769 KiB on disk (")
    assert " are free), about " in form.message
    assert form.more_levels.value
    form.more_levels.value = False
    wait_for(lambda: len(form.table.rows) == 1)
    form.storage.value = "exchange"
    wait_for(lambda: form.table.rows[0].tiles == (512, 512))
    form.unit.value = "parsnip"
    wait_for(lambda: form.is_message_error)
    assert not form.run.enabled
    form.unit.value = "um"
    wait_for(lambda: form.run.enabled)
    viewer.layers[0].data = noise(60, 70)
    wait_for(lambda: rows(form) == [("level0", (60, 70), "given")])


# The run


def test_one_layer_comes_back_as_it_was(viewer, form, wait_for):
    pixels = noise(97, 130, 3)
    layer = viewer.add_image(pixels, name="tissue", rgb=True, opacity=0.6)
    place = save(form, wait_for)
    assert form.message.startswith(f"Saved 'tissue' to {place!r} in ")
    assert form.open_result.visible
    with MultiscaleImage.open(place) as image:
        assert image.level_count == 1
    form.open_result.native.click()
    wait_for(lambda: len(viewer.layers) == 2)
    opened = viewer.layers[1]
    np.testing.assert_array_equal(np.asarray(opened.data[0]), pixels)
    np.testing.assert_allclose(to_world(opened, (3, 4)), to_world(layer, (3, 4)))
    assert (opened.rgb, opened.opacity) == (True, 0.6)


def test_a_scene_comes_back_as_it_was(viewer, form, wait_for):
    dapi = viewer.add_image(
        noise(97, 130, dtype="uint16"), name="DAPI", scale=(0.5, 0.5), units="um"
    )
    cells = viewer.add_labels(
        noise(50, 60, dtype="int32"),
        name="cells",
        scale=(2, 2),
        translate=(3, 4),
        rotate=20,
        units="um",
    )
    viewer.layers.selection = {dapi, cells}
    wait_for(lambda: form.run.enabled)
    assert form.message.startswith("A scene of 2 images, at most")
    assert [row.key for row in form.table.rows if row.state == "image"] == [
        "DAPI: uint16, y, x",
        "cells: int32, y, x",
    ]
    place = save(form, wait_for)
    assert form.message.startswith("Saved 2 layers to")
    viewer.layers.clear()
    form.open_result.native.click()
    wait_for(lambda: len(viewer.layers) == 2)
    for before, after in zip((dapi, cells), viewer.layers, strict=True):
        assert (before.name, before._type_string) == (after.name, after._type_string)
        np.testing.assert_array_equal(np.asarray(after.data[0]), before.data)
        for corner in ((0, 0), (49, 59)):
            np.testing.assert_allclose(
                to_world(after, corner), to_world(before, corner), atol=1e-9
            )
        assert [str(unit) for unit in after.units] == ["micrometer"] * 2
    assert place


def test_another_pixel_size_is_saved(viewer, form, wait_for):
    viewer.add_image(noise(40, 50), name="a")
    wait_for(lambda: form.run.enabled)
    form.sizes[0].value, form.sizes[1].value = "0.25", "0.5"
    form.unit.value = "um"
    form.axis_names[0].value = "column"
    place = save(form, wait_for)
    with Scene.open(place) as scene:
        space = scene.coordinate_space
    assert [(axis.name, axis.unit) for axis in space.axes] == [
        ("column", "micrometer"),
        ("y", "micrometer"),
    ]
    (opened,) = open_image(place, viewer)
    np.testing.assert_allclose(to_world(opened, (2, 4)), (1, 1))


def test_layers_become_channels_of_one_image(viewer, form, wait_for):
    pixels = noise(3, 40, 50)
    for name, channel in zip("abc", pixels, strict=True):
        viewer.add_image(channel, name=name)
    viewer.layers.selection = set(viewer.layers)
    form.channels.value = "layers"
    wait_for(lambda: rows(form) == [("level0", (3, 40, 50), "given")])
    place = save(form, wait_for)
    with MultiscaleImage.open(place) as image:
        np.testing.assert_array_equal(np.asarray(image.level_array(0)), pixels)
    opened = open_image(place, viewer)
    assert [layer.name.split(" [")[0] for layer in opened] == ["a", "b", "c"]


def test_an_axis_becomes_the_channel_axis(viewer, form, wait_for):
    pixels = noise(2, 5, 40, 50)
    viewer.add_image(pixels, name="cells")
    wait_for(lambda: form.is_message_error)
    assert "choose it under Channels" in form.message
    form.channels.value = 0
    place = save(form, wait_for)
    with MultiscaleImage.open(place) as image:
        assert image.data_axis_order == ("soma_channel", "z", "y", "x")
        np.testing.assert_array_equal(np.asarray(image.level_array(0)), pixels)


def shapes(form):
    """Return the shapes in the table, without the rows that name images."""
    return [row.shape for row in form.table.rows if row.shape]


def test_a_locked_level_is_saved(viewer, form, wait_for):
    levels = [noise(80, 100), noise(40, 50), noise(20, 25)]
    layer = viewer.add_image(levels, multiscale=True, name="a")
    wait_for(lambda: form.run.enabled)
    assert not form.more_levels.value
    form.levels.value = "current"
    layer.locked_data_level = 1
    wait_for(lambda: shapes(form) == [(40, 50), (20, 25)])
    place = save(form, wait_for)
    viewer.layers.clear()
    (opened,) = open_image(place, viewer)
    np.testing.assert_array_equal(np.asarray(opened.data[0]), levels[1])
    np.testing.assert_allclose(to_world(opened, (0, 0)), (0.5, 0.5))


def test_a_chosen_level_is_saved(viewer, form, wait_for):
    levels = [noise(80, 100), noise(40, 50), noise(20, 25)]
    viewer.add_image(levels, multiscale=True, name="a")
    form.levels.value = 2
    wait_for(lambda: shapes(form) == [(20, 25)])
    save(form, wait_for)


def test_labels_are_never_averaged(viewer, form, wait_for):
    pixels = np.repeat(np.repeat(noise(200, 300, dtype="int32"), 4, 0), 4, 1)
    viewer.add_labels(pixels, name="cells")
    place = save(form, wait_for)
    with MultiscaleImage.open(place) as image:
        assert image.level_count == 3
        coarse = np.asarray(image.level_array(2))
    np.testing.assert_array_equal(coarse, pixels[::4, ::4])


def test_looks_are_those_at_the_moment_of_the_run(viewer, form, wait_for):
    layer = viewer.add_image(noise(40, 50), name="a")
    wait_for(lambda: form.run.enabled)
    layer.colormap = "magma"
    place = save(form, wait_for)
    assert open_image(place, viewer)[0].colormap.name == "magma"


def test_progress_is_shown_and_cancel_leaves_nothing(viewer, form, folder, wait_for):
    def slowly(block):
        time.sleep(0.01)
        return block

    pixels = da.zeros((300, 512, 512), dtype="uint8", chunks=(1, 512, 512))
    viewer.add_image(pixels.map_blocks(slowly, dtype="uint8"), contrast_limits=(0, 1))
    run(form, wait_for)
    wait_for(lambda: "/s, " in form.message and form.message.endswith(" left"))
    assert form.bar.visible
    assert not form.run.enabled
    assert not form.destination.enabled
    assert not form.layers.native.isEnabled()
    begin = time.monotonic()
    form.cancel.native.click()
    wait_for(lambda: form.message.startswith("Cancelled; nothing is left at"))
    assert time.monotonic() - begin < 1
    wait_for(lambda: not os.listdir(folder))
    wait_for(lambda: form.run.enabled)
    assert not form.bar.visible
    assert not form.open_result.visible


# Questions


def test_an_image_is_replaced_only_after_a_question(viewer, form, asked, wait_for):
    old = viewer.add_image(noise(40, 50), name="a")
    place = save(form, wait_for)
    new = viewer.add_image(noise(60, 70), name="b")
    form.destination.value = place
    wait_for(lambda: form.is_message_error)
    assert "Choose another name, or tick 'Replace'" in form.message
    assert form.replace.visible
    form.replace.value = True
    asked.answer = False
    run(form, wait_for)
    assert asked.questions[0].startswith("Replace the SOMA image? What is at")
    assert not running_jobs()
    asked.answer = True
    save(form, wait_for)
    with MultiscaleImage.open(place) as image:
        assert image.level_shape(0) == new.data.shape
    form.destination.value = f"{place}.other"
    wait_for(lambda: not form.replace.visible)
    assert not form.replace.value
    assert old in viewer.layers


def test_layers_that_are_left_out_are_asked_about(viewer, form, asked, wait_for):
    viewer.add_image(noise(40, 50) > 99, name="mask")
    viewer.add_points(np.ones((2, 2)), name="spots")
    viewer.layers.selection = set(viewer.layers)
    wait_for(lambda: form.run.enabled)
    assert "is stored with bool pixels as uint8" in form.notes
    assert "Not saved: 'spots' (points)." in form.notes
    asked.answer = False
    run(form, wait_for)
    assert "will not be saved: 'spots' (points)" in asked.questions[0]
    assert not running_jobs()
    asked.answer = True
    save(form, wait_for)


def test_only_points_are_told(viewer, form, wait_for):
    viewer.add_points(np.ones((2, 2)), name="spots")
    wait_for(lambda: form.is_message_error)
    assert form.message.startswith("'spots' cannot be saved; only image and labels")


def test_the_question_is_a_box_that_says_no_by_default(form, monkeypatch):
    seen = []

    def exec_(box):
        seen.append((box.text(), box.defaultButton().text()))
        box.defaultButton().click()

    monkeypatch.setattr(QMessageBox, "exec", exec_)
    assert not _save_as.confirm(form.native, TITLE, "Really?", "All of it.", "Save")
    assert seen[0][0] == "Really?"
    assert "Cancel" in seen[0][1]


# What goes wrong


def test_a_place_on_the_screen_is_not_replaced(viewer, form, asked, wait_for, tmp_path):
    viewer.add_image(noise(40, 50), name="a")
    (uri,) = write_layers(f"{tmp_path}/old.soma", viewer.layers[0])
    open_image(uri, viewer)
    viewer.layers.selection = {viewer.layers[0]}
    form.destination.value = uri
    wait_for(lambda: form.replace.visible)
    form.replace.value = True
    wait_for(lambda: "Remove that layer first" in form.message)
    viewer.layers.pop()
    viewer.layers.selection = {viewer.layers[0]}
    wait_for(lambda: form.run.enabled)


def test_an_image_is_not_saved_into_itself(viewer, form, tmp_path, wait_for):
    (uri,) = write_layers(f"{tmp_path}/old.soma", (noise(40, 50),))
    open_image(uri, viewer)
    for place in (uri, f"{uri}/inside.soma"):
        form.destination.value = place
        wait_for(lambda place=place: form.is_message_error and place in form.message)
        assert not form.run.enabled


def test_a_full_disk_is_told(viewer, form, folder, wait_for, monkeypatch):
    def fail(*_, **__):
        yield Progress(0, 10)
        raise StorageError("cannot write: no space left on device")

    viewer.add_image(noise(40, 50))
    wait_for(lambda: form.run.enabled)
    monkeypatch.setattr(_save_plan, "write_plan", fail)
    form.run.native.click()
    wait_for(lambda: form.is_message_error)
    assert form.message == "Cannot write: no space left on device."
    assert os.listdir(folder) == []


def test_a_folder_that_goes_away_is_told(viewer, form, folder, wait_for):
    viewer.add_image(noise(40, 50))
    wait_for(lambda: form.run.enabled)
    shutil.rmtree(folder)
    form.run.native.click()
    wait_for(lambda: form.is_message_error)
    assert "does not exist. Make it first" in form.message


def test_pixels_that_cannot_be_computed_are_told(viewer, form, folder, wait_for):
    def fail(block, block_info=None):
        if block_info and block_info[0]["chunk-location"][0] > 50:
            raise RuntimeError("the microscope is on fire")
        return block

    pixels = da.zeros((60, 40, 50), dtype="uint8", chunks=(1, 40, 50))
    viewer.add_image(
        pixels.map_blocks(fail, dtype="uint8", meta=np.zeros((0, 0, 0), "uint8")),
        contrast_limits=(0, 1),
    )
    run(form, wait_for)
    wait_for(lambda: form.is_message_error)
    assert "the microscope is on fire" in form.message
    assert os.listdir(folder) == []


def test_a_bug_is_told_without_a_dialog(viewer, form, wait_for, monkeypatch, caplog):
    def fail(*_):
        raise ZeroDivisionError("oops")
        yield

    viewer.add_image(noise(40, 50))
    wait_for(lambda: form.run.enabled)
    monkeypatch.setattr(_save_plan, "save_layers", fail)
    form.run.native.click()
    wait_for(lambda: form.is_message_error)
    assert "unexpected error, ZeroDivisionError: oops" in form.message
    wait_for(lambda: form.run.enabled)
    caplog.clear()  # its traceback keeps the layers


def test_the_same_place_twice_at_once(
    viewer, form, slow, wait_for, make_napari_viewer, add_form
):
    other_viewer = make_napari_viewer(show=True)
    other = add_form(other_viewer)
    for each in (viewer, other_viewer):
        each.add_image(noise(40, 50), name="a")
    for each in (form, other):
        wait_for(lambda each=each: each.run.enabled)
    form.run.native.click()
    other.run.native.click()
    assert other.is_message_error
    assert other.message.startswith("Layers are being saved to")
    assert len(running_jobs()) == 1


# What changes while it runs


def test_a_layer_removed_while_it_is_saved_ends_the_run(
    viewer, form, folder, wait_for, held
):
    viewer.add_image(noise(300, 400), name="a")
    run(form, wait_for)
    wait_for(is_running)
    viewer.layers.clear()
    held.set()
    wait_for(lambda: "was removed while it was being saved" in form.message)
    assert form.layers.layers == []
    assert not list(folder.iterdir())


def test_a_layer_removed_before_the_run_is_not_saved(viewer, form, wait_for):
    layer = viewer.add_image(noise(40, 50))
    wait_for(lambda: form.run.enabled)
    viewer.layers.remove(layer)
    assert not form.run.enabled
    form._start()
    assert not running_jobs()


def test_a_layer_removed_during_a_question_is_not_saved(
    viewer, form, wait_for, monkeypatch
):
    viewer.add_image(noise(40, 50), name="a")
    viewer.add_points(np.ones((2, 2)), name="spots")
    viewer.layers.selection = set(viewer.layers)
    wait_for(lambda: form.run.enabled)

    def confirm(*_):
        viewer.layers.remove("a")
        return True

    monkeypatch.setattr(_save_as, "confirm", confirm)
    form.run.native.click()
    assert not running_jobs()
    assert form.message.startswith("The layers have changed")


def test_a_layer_changed_while_it_is_saved_ends_the_run(
    viewer, form, folder, wait_for, held
):
    cells = viewer.add_labels(noise(40, 50), name="cells")
    run(form, wait_for)
    wait_for(is_running)
    cells.paint((3, 4), 7)
    held.set()
    wait_for(lambda: "got other pixels while it was being saved" in form.message)
    assert "Save again" in form.message
    assert not list(folder.iterdir())


def test_closing_the_dock_cancels(viewer, form, slow, wait_for):
    viewer.add_image(noise(40, 50))
    run(form, wait_for)
    wait_for(is_running)
    (dock,) = viewer.window._wrapped_dock_widgets.values()
    dock.destroyOnClose()
    wait_for(lambda: not running_jobs(), timeout=1500)
    assert len(slow.closed) == 1
    viewer.layers.clear()  # the form hears of it no more


def test_closing_the_viewer_cancels(make_napari_viewer, add_form, slow, wait_for):
    viewer = make_napari_viewer(show=True)
    form = add_form(viewer)
    viewer.add_image(noise(40, 50))
    run(form, wait_for)
    wait_for(is_running)
    viewer.close()
    wait_for(lambda: not running_jobs(), timeout=1500)
    assert len(slow.closed) == 1


def test_closing_the_viewer_leaves_nothing(
    make_napari_viewer, add_form, folder, wait_for
):
    viewer = make_napari_viewer(show=True)
    form = add_form(viewer)
    levels = lazy_levels(40_000, 8, before_read=lambda _: time.sleep(0.01))
    add_lazy(viewer, levels)
    run(form, wait_for)
    wait_for(lambda: is_running() and running_jobs()[0].progress.done > 0, 20_000)
    assert os.listdir(folder)
    viewer.close()
    wait_for(lambda: not running_jobs(), 10_000)
    wait_for(lambda: os.listdir(folder) == [])


def test_a_program_may_end_with_the_form_open():
    program = (
        "import napari\n"
        "import numpy as np\n"
        "viewer = napari.Viewer()\n"
        "dock, form = viewer.window.add_plugin_dock_widget("
        f"'napari-msimage', {TITLE!r})\n"
        "viewer.add_image(np.ones((3, 4)))\n"
        "from qtpy.QtTest import QTest\n"
        "while not form.run.enabled: QTest.qWait(20)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert "deleted" not in ended.stderr


# Huge layers


def test_the_window_goes_on_while_a_huge_layer_is_planned(viewer, form, wait_for, gaps):
    add_lazy(viewer, levels := lazy_levels(200_000, 12))
    wait_for(lambda: form.run.enabled or form.is_message_error, 20_000)
    settle(20)
    n_read = [level.n_read for level in levels]
    pauses = []
    for name in ("nm", "um", "nm"):
        form.unit.value = name
        pauses.append(gaps(20, lambda: form.run.enabled or form.is_message_error))
    assert len(shapes(form)) == 12
    assert [level.n_read for level in levels] == n_read  # planning reads nothing
    assert min(pauses) < 0.1


def test_the_window_goes_on_while_a_huge_layer_is_saved(
    viewer, form, folder, wait_for, gaps
):
    is_over = threading.Event()

    def wait(_):
        if threading.current_thread() is not threading.main_thread():
            is_over.wait(0.1)

    add_lazy(viewer, lazy_levels(20_000, 8, before_read=wait))
    run(form, wait_for)
    wait_for(lambda: is_running() and running_jobs()[0].progress.done > 0, 20_000)
    pauses = [gaps(0.5) for _ in range(4)]
    assert form._part.is_running
    assert min(pauses) < 0.1
    is_over.set()
    form.cancel.native.click()
    wait_for(lambda: form.message.startswith("Cancelled; nothing is left"), 10_000)
    wait_for(lambda: os.listdir(folder) == [])


def test_a_source_that_fails_half_way_leaves_nothing(viewer, form, folder, wait_for):
    may_fail = threading.Event()

    def fail(n_read):
        if may_fail.is_set() and n_read > n_before + 4:
            raise OSError("the microscope is on fire")

    levels = lazy_levels(8192, 5, before_read=fail)
    add_lazy(viewer, levels)
    wait_for(lambda: form.run.enabled)
    n_before = levels[0].n_read
    may_fail.set()
    form.run.native.click()
    wait_for(lambda: form.is_message_error, 20_000)
    may_fail.clear()
    assert "the microscope is on fire" in form.message
    assert os.listdir(folder) == []
    wait_for(lambda: form.run.enabled)


# Where it is


def test_menus_and_palette_offer_it(viewer):
    from napari._app_model import get_app_model

    menus = get_app_model().menus
    for menu in (
        "napari/file/io_utilities",
        "napari/layers/data",
        menus.COMMAND_PALETTE_ID,
    ):
        titles = [
            item.command.title
            for item in menus.get_menu(menu)
            if getattr(item, "command", None) is not None
            and item.command.id == "napari-msimage.save_as"
        ]
        assert len(titles) == 1, menu
        assert titles[0].startswith("Save as SOMA image")


def test_the_menu_command_opens_the_form(viewer):
    from napari._app_model import get_app_model

    commands = get_app_model().commands
    commands.execute_command("napari-msimage.save_as").result()
    (dock,) = viewer.window._wrapped_dock_widgets.values()
    assert isinstance(dock.inner_widget(), SaveAs)
    dock.inner_widget()._life.end()
    settle()
