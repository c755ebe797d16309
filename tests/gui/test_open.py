"""Every way to open an image, in a real window."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import QMimeData, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QApplication, QDialog, QFileDialog, QMessageBox

from napari_msimage.errors import ConsentError, SOMAError, UnsupportedError
from napari_msimage.plugin import _commands, make_hints, open_image
from napari_msimage.plugin._hints import HINTS_KEY, hints_to_json
from napari_msimage.plugin._keys import SHORTCUT
from napari_msimage.plugin._open import OpenRequest
from napari_msimage.storage import MultiscaleImage

pytestmark = pytest.mark.gui

RNG = np.random.default_rng(7)


def noise(*shape, dtype="uint8"):
    return RNG.integers(1, 200, shape).astype(dtype)


@pytest.fixture
def rgb_image(write_soma):
    return write_soma([noise(97, 130, 3), noise(49, 65, 3)], ("y", "x", "soma_channel"))


@pytest.fixture
def preferences():
    """Return napari's reader preferences, put back afterwards."""
    from napari.settings import get_settings

    plugins = get_settings().plugins
    before = dict(plugins.extension2reader)
    yield plugins
    plugins.extension2reader = before


@pytest.fixture
def notices():
    """Return what napari tells the user, as (severity, text)."""
    from napari.utils.notifications import notification_manager

    found = []

    def note(notification):
        found.append((notification.severity.value, notification.message))

    notification_manager.notification_ready.connect(note)
    yield found
    notification_manager.notification_ready.disconnect(note)


def answer(find, act):
    """Once the event loop runs and the dialog is there, act on it; return the found."""
    seen = []

    def look(tries=100):
        dialogs = [w for w in QApplication.topLevelWidgets() if w.isVisible()]
        for dialog in dialogs:
            if find(dialog):
                seen.append(dialog)
                act(dialog)
                return
        if tries:
            QTimer.singleShot(50, lambda: look(tries - 1))

    QTimer.singleShot(0, look)
    return seen


def in_event_loop(action):
    """Run something from within the event loop, as a menu or a drop would."""
    from qtpy.QtCore import QEventLoop

    loop = QEventLoop()
    result = []

    def run():
        try:
            result.append(action())
        finally:
            loop.quit()

    QTimer.singleShot(0, run)
    loop.exec()
    QApplication.processEvents()
    return result


def drop(viewer, path):
    """Drop a folder onto the window."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(path)])
    event = QDropEvent(
        QPointF(50, 50),
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    viewer.window._qt_viewer.dropEvent(event)


# Ways in


def test_by_name_of_the_plugin(viewer, rgb_image):
    (layer,) = viewer.open(rgb_image, plugin="napari-msimage")
    assert layer.name == "image"
    assert layer.rgb
    assert layer.multiscale
    assert layer.data.shapes == ((97, 130, 3), (49, 65, 3))
    assert tuple(layer.scale) == (1.0, 1.0)
    assert tuple(layer.translate) == (0.5, 0.5)
    assert layer.extent.world.tolist() == [[0.5, 0.5], [96.5, 129.5]]
    assert layer.source.reader_plugin == "napari-msimage"


def test_opening_binds_the_shortcut(viewer, rgb_image):
    open_image(rgb_image, viewer)
    assert coerce_keybinding(SHORTCUT) in viewer.keymap


def test_relative_and_with_trailing_slash(viewer, rgb_image, monkeypatch):
    monkeypatch.chdir(os.path.dirname(rgb_image))
    assert viewer.open("image.soma", plugin="napari-msimage")[0].name == "image"
    assert viewer.open("./image.soma/", plugin="napari-msimage")[0].rgb
    viewer.layers.clear()
    monkeypatch.chdir("/")
    assert np.asarray(open_image(rgb_image, viewer)[0].data[0]).any()


def test_several_at_once(viewer, rgb_image, write_soma):
    other = write_soma([noise(9, 13)], ("y", "x"), name="other.soma")
    layers = viewer.open([rgb_image, other], plugin="napari-msimage")
    assert [layer.name for layer in layers] == ["image", "other"]


def test_with_one_level_it_is_multiscale_too(viewer, write_soma):
    uri = write_soma([noise(97, 130)], ("y", "x"))
    (layer,) = viewer.open(uri, plugin="napari-msimage")
    assert layer.multiscale
    assert len(layer.data) == 1


def test_drag_and_drop_once_preferred(viewer, rgb_image, preferences):
    _commands.prefer_for_soma_folders()
    in_event_loop(lambda: drop(viewer, rgb_image))
    assert [layer.name for layer in viewer.layers] == ["image"]


def test_drag_and_drop_of_a_folder_in_a_soma_folder(viewer, write_soma, preferences):
    uri = write_soma([noise(9, 13)], ("y", "x"), name="nested.soma/image")
    _commands.prefer_for_soma_folders()
    in_event_loop(lambda: drop(viewer, uri))
    assert [layer.name for layer in viewer.layers] == ["image"]


def test_drag_and_drop_through_napari_s_question(viewer, rgb_image, preferences):
    def choose(dialog):
        for button in dialog.reader_btn_group.buttons():
            button.setChecked(button.text() == "SOMA multiscale images")
        dialog.accept()

    asked = answer(lambda w: w.objectName() == "Choose reader", choose)
    in_event_loop(lambda: drop(viewer, rgb_image))
    assert len(asked) == 1
    assert [layer.name for layer in viewer.layers] == ["image"]


def test_open_folder_in_the_menu(viewer, rgb_image, preferences, monkeypatch):
    _commands.prefer_for_soma_folders()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: rgb_image)
    in_event_loop(viewer.window._qt_viewer._open_folder_dialog)
    assert [layer.name for layer in viewer.layers] == ["image"]


def test_preference_keeps_what_others_set(preferences, notices):
    preferences.extension2reader = {"*.tif": "napari"}
    _commands.prefer_for_soma_folders()
    assert preferences.extension2reader == {
        "*.tif": "napari",
        "*.soma/": "napari-msimage",
        "*.soma/*": "napari-msimage",
    }


def test_command_line(make_napari_viewer, rgb_image, preferences, monkeypatch):
    import napari.__main__ as napari_main

    make_napari_viewer()  # so that the one of the command line is cleaned up as well
    monkeypatch.setattr("napari.__main__.Viewer", make_napari_viewer, raising=False)
    monkeypatch.setattr("napari.Viewer", make_napari_viewer)
    argv = ["napari", rgb_image, "--plugin", "napari-msimage"]
    monkeypatch.setattr(sys, "argv", argv)
    viewer = napari_main._build_viewer()
    assert [layer.name for layer in viewer.layers] == ["image"]


def test_own_function_takes_file_addresses_and_home(viewer, rgb_image, monkeypatch):
    monkeypatch.setenv("HOME", os.path.dirname(rgb_image))
    for address in (f"file://{rgb_image}", "~/image.soma", Path(rgb_image)):
        (layer,) = open_image(address, viewer)
        assert layer.rgb
    assert open_image(rgb_image)[0] in viewer.layers


def test_open_command_asks_for_an_address(viewer, rgb_image, qtbot):
    def fill_in(dialog):
        dialog.address.setText(f" {rgb_image} ")
        dialog.accept()

    asked = answer(lambda w: w.objectName() == "msimage-open", fill_in)
    in_event_loop(_commands.open_image_dialog)
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=10000)
    assert len(asked) == 1


def test_open_command_can_be_cancelled(viewer):
    answer(lambda w: w.objectName() == "msimage-open", QDialog.reject)
    in_event_loop(_commands.open_image_dialog)
    assert len(viewer.layers) == 0


def test_browse_fills_in_the_folder(viewer, monkeypatch, qtbot):
    from qtpy.QtWidgets import QPushButton

    from napari_msimage.plugin.widgets._open_dialog import make_open_dialog

    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a: "/data/l.soma")
    dialog = make_open_dialog(viewer.window._qt_window)
    qtbot.addWidget(dialog)
    buttons = {b.text(): b for b in dialog.findChildren(QPushButton)}
    assert not buttons["Open"].isEnabled()
    buttons["Browse…"].click()
    assert dialog.address.text() == "/data/l.soma"
    assert buttons["Open"].isEnabled()


def test_menus_and_palette_offer_the_commands(viewer):
    from napari._app_model import get_app_model

    app = get_app_model()
    titles = {
        item.command.title.removesuffix(" (SOMA multiscale images)")
        for menu in (
            "napari/file/io_utilities",
            "napari/layers/visualize",
            "napari/layers/metadata",
        )
        for item in app.menus.get_menu(menu)
        if hasattr(item, "command") and item.command.id.startswith("napari-msimage.")
    }
    assert titles == {
        "Open SOMA image…",
        "Save as SOMA image",
        "Export region",
        "Export current view with the last settings",
        "Always open *.soma folders with napari-msimage",
        "Show SOMA image as RGB",
        "Show SOMA image as channels",
        "Save display settings in the SOMA image",
    }
    palette = {
        item.command.id: item.when is None or item.when.eval({})
        for item in app.menus.get_menu(app.menus.COMMAND_PALETTE_ID)
        if item.command.id.startswith("napari-msimage.")
    }
    assert palette["napari-msimage.open_image"]
    assert not palette["napari-msimage.get_reader"]


@pytest.mark.parametrize(
    ("sample", "n_layers", "ndim"), [("tissue", 1, 2), ("volume", 3, 3)]
)
def test_samples(viewer, sample, n_layers, ndim):
    layers = viewer.open_sample("napari-msimage", sample)
    assert len(layers) == n_layers
    assert {layer.ndim for layer in layers} == {ndim}
    assert all(len(layer.data) > 1 for layer in layers)
    assert layers[0].rgb == (sample == "tissue")


# Looks


def test_axis_labels_and_units(viewer, write_soma):
    uri = write_soma(
        [noise(2, 9, 13)],
        axes=("x", "y"),
        units=("um", None),
    )
    layers = viewer.open(uri, plugin="napari-msimage")
    for layer in layers:
        assert layer.axis_labels == ("y", "x")
        assert [str(unit) for unit in layer.units] == ["pixel", "micrometer"]
    assert viewer.dims.axis_labels == ("y", "x")


def test_unknown_unit_is_pixels_with_a_note(viewer, write_soma, notices, qtbot):
    uri = write_soma([noise(9, 13)], ("y", "x"), units=("furlongz", "um"))
    (layer,) = viewer.open(uri, plugin="napari-msimage")
    assert [str(unit) for unit in layer.units] == ["micrometer", "pixel"]
    qtbot.waitUntil(lambda: any("'furlongz'" in text for _, text in notices))


def test_contrast_limits_come_from_the_coarsest_level_alone(viewer, write_soma):
    finest = noise(200, 300, dtype="uint16") + np.uint16(20000)
    coarsest = noise(50, 75, dtype="uint16")
    uri = write_soma([finest, coarsest], ("y", "x"))
    (layer,) = viewer.open(uri, plugin="napari-msimage")
    low, high = layer.contrast_limits
    assert 0 < low < high < 200


def test_hints_are_followed(viewer, write_soma):
    hints = make_hints(
        [
            {"name": "DAPI", "colormap": "blue", "contrast_limits": (3, 99)},
            {"name": "CD3", "colormap": "#ff8000", "visible": False},
            {},
        ],
        rgb=False,
    )
    metadata = {HINTS_KEY: hints_to_json(hints)}
    uri = write_soma([noise(3, 97, 130)], metadata=metadata)
    layers = viewer.open(uri, plugin="napari-msimage")
    assert [layer.name for layer in layers] == [
        "image DAPI",
        "image CD3",
        "image channel 2",
    ]
    assert layers[0].colormap.name == "blue"
    assert tuple(layers[0].contrast_limits) == (3, 99)
    assert [layer.visible for layer in layers] == [True, False, True]
    assert np.allclose(layers[1].colormap.colors[-1][:3], (1, 128 / 255, 0))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_rgb_hint_for_other_types_shows_colours(viewer, canvas, write_soma, dtype):
    top = 65535 if dtype == "uint16" else 1.0
    cells = np.zeros((60, 80, 3), dtype)
    cells[..., 0] = top
    metadata = {HINTS_KEY: hints_to_json(make_hints(rgb=True))}
    uri = write_soma([cells], ("y", "x", "soma_channel"), metadata=metadata)
    (layer,) = viewer.open(uri, plugin="napari-msimage")
    assert layer.rgb
    middle = canvas.picture()[200:300, 200:300].mean((0, 1))
    np.testing.assert_allclose(middle, (255, 0, 0), atol=2)


def test_damaged_hints_are_ignored_with_a_note(viewer, write_soma, notices, qtbot):
    uri = write_soma([noise(3, 97, 130)], metadata={HINTS_KEY: '{"version": 1, "rgb'})
    (layer,) = viewer.open(uri, plugin="napari-msimage")
    assert layer.rgb
    qtbot.waitUntil(lambda: any("Bad display hints" in text for _, text in notices))


def test_show_as_channels_and_back(viewer, rgb_image, notices):
    other = viewer.add_image(noise(30, 40))
    (rgb,) = viewer.open(rgb_image, plugin="napari-msimage")
    viewer.scene.camera.zoom = 3.3
    viewer.layers.selection.active = rgb
    _commands.show_as_channels()
    assert [layer.name for layer in viewer.layers] == [
        other.name,
        "image channel 0",
        "image channel 1",
        "image channel 2",
    ]
    viewer.layers.move(0, 4)
    viewer.layers.selection.active = viewer.layers[1]
    _commands.show_as_rgb()
    assert [(layer.name, layer.rgb) for layer in viewer.layers] == [
        ("image", True),
        (other.name, False),
    ]
    assert viewer.scene.camera.zoom == pytest.approx(3.3)
    with MultiscaleImage.open(rgb_image) as image:
        assert HINTS_KEY not in image.metadata


def test_show_as_what_it_is_changes_nothing(viewer, rgb_image):
    (rgb,) = viewer.open(rgb_image, plugin="napari-msimage")
    assert _commands.show_image_as(viewer, rgb, rgb=True) == [rgb]
    assert list(viewer.layers) == [rgb]


def test_show_as_rgb_of_what_cannot_be_says_why(viewer, write_soma):
    uri = write_soma([noise(2, 9, 13)])
    layers = viewer.open(uri, plugin="napari-msimage")
    with pytest.raises(UnsupportedError, match="3 or 4 channels"):
        _commands.show_image_as(viewer, layers[0], rgb=True)
    assert list(viewer.layers) == layers


def test_show_as_needs_a_layer_of_ours(viewer, notices, qtbot):
    viewer.layers.selection.active = viewer.add_image(noise(9, 13))
    in_event_loop(_commands.show_as_rgb)
    qtbot.waitUntil(
        lambda: any(
            kind == "error" and "Select the layers of one SOMA image" in text
            for kind, text in notices
        )
    )


def test_saved_display_settings_come_back(viewer, write_soma):
    uri = write_soma([noise(3, 97, 130)])
    (rgb,) = viewer.open(uri, plugin="napari-msimage")
    first, second, third = _commands.show_image_as(viewer, rgb, rgb=False)
    first.name = "DAPI"
    first.colormap = "red"
    first.contrast_limits = (7, 80)
    second.visible = False
    viewer.layers.remove(third)
    viewer.layers.selection.active = first
    _commands.save_display_settings()
    viewer.layers.clear()
    layers = viewer.open(uri, plugin="napari-msimage")
    assert [layer.name for layer in layers] == [
        "image DAPI",
        "image channel 1",
        "image channel 2",
    ]
    assert layers[0].colormap.name == "red"
    assert tuple(layers[0].contrast_limits) == (7, 80)
    assert [layer.visible for layer in layers] == [True, False, False]
    shown = _commands.show_image_as(viewer, layers[0], rgb=True)
    _commands.store_display_settings(viewer, shown[0])
    with MultiscaleImage.open(uri) as image:
        assert '"rgb": true' in image.metadata[HINTS_KEY]
        assert '"name": "DAPI"' in image.metadata[HINTS_KEY]


def test_nothing_is_drawn_twice_for_levels_that_do_not_shrink(viewer, write_soma):
    levels = [noise(40, 60), noise(40, 60), noise(20, 30)]
    (layer,) = viewer.open(write_soma(levels, ("y", "x")), plugin="napari-msimage")
    assert layer.data.shapes == ((40, 60), (20, 30))


# Levels outside the image


@pytest.fixture
def outside_image(write_soma, tmp_path):
    elsewhere = str(tmp_path / "elsewhere" / "level")
    return write_soma([noise(9, 13)], ("y", "x"), level_uri=elsewhere)


def test_levels_outside_are_refused_and_named_in_code(viewer, outside_image):
    with pytest.raises(ConsentError, match=r"'level0' at .*elsewhere/level.*allow_out"):
        viewer.open(outside_image, plugin="napari-msimage")
    with pytest.raises(ConsentError, match="elsewhere/level"):
        open_image(outside_image, viewer)
    assert len(open_image(outside_image, viewer, allow_outside=True)) == 1


@pytest.mark.parametrize("agrees", [True, False])
def test_levels_outside_are_asked_about_in_the_window(
    viewer, outside_image, preferences, agrees
):
    button = QMessageBox.StandardButton.Yes if agrees else QMessageBox.StandardButton.No
    _commands.prefer_for_soma_folders()
    asked = answer(
        lambda w: w.objectName() == "msimage-outside",
        lambda dialog: dialog.button(button).click(),
    )
    in_event_loop(lambda: drop(viewer, outside_image))
    assert len(asked) == 1
    assert "elsewhere/level" in asked[0].informativeText()
    assert len(viewer.layers) == int(agrees)


def test_levels_outside_are_asked_about_by_the_command(viewer, outside_image, qtbot):
    asked = answer(
        lambda w: w.objectName() == "msimage-outside",
        lambda dialog: dialog.button(QMessageBox.StandardButton.Yes).click(),
    )
    request = OpenRequest(outside_image)
    in_event_loop(lambda: _commands.open_in_background(viewer, request))
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=10000)
    assert len(asked) == 1


def test_symbolic_links_that_leave_the_image_count_as_outside(
    viewer, rgb_image, tmp_path
):
    level = os.path.join(rgb_image, "level1")
    os.rename(level, tmp_path / "moved")
    os.symlink(tmp_path / "moved", level)
    with pytest.raises(ConsentError, match="'level1'"):
        viewer.open(rgb_image, plugin="napari-msimage")


# What goes wrong


def test_wrong_things_are_told_in_the_window(viewer, preferences, notices, tmp_path):
    folder = tmp_path / "broken.soma"
    (folder / "__group").mkdir(parents=True)
    (folder / "__tiledb_group.tdb").touch()
    _commands.prefer_for_soma_folders()
    in_event_loop(lambda: drop(viewer, str(folder)))
    for _ in range(20):
        QApplication.processEvents()
    errors = [text for kind, text in notices if kind == "error"]
    assert len(errors) == 1
    assert "broken.soma" in errors[0]
    assert len(viewer.layers) == 0


def test_wrong_things_raise_in_code(viewer, tmp_path):
    folder = tmp_path / "broken.soma"
    (folder / "__group").mkdir(parents=True)
    (folder / "__tiledb_group.tdb").touch()
    with pytest.raises(SOMAError, match=r"broken\.soma"):
        viewer.open(str(folder), plugin="napari-msimage")


def test_a_store_deleted_while_shown(viewer, canvas, write_soma, notices, qtbot):
    levels = [noise(2400, 3200), noise(1200, 1600), noise(600, 800)]
    uri = write_soma(levels, ("y", "x"))
    (layer,) = viewer.open(uri, plugin="napari-msimage")
    viewer.scene.camera.zoom = 0.2
    canvas.picture()
    shutil.rmtree(uri)
    for x in range(100, 3000, 300):
        viewer.scene.camera.center = (0, 1000, x)
        viewer.scene.camera.zoom = 2 if x % 200 else 0.5
        canvas.picture()
    qtbot.waitUntil(lambda: layer.name_overlay.visible)
    told = [text for kind, text in notices if kind in ("warning", "error")]
    assert len(told) == 1
    assert "image.soma" in told[0]
    assert layer.name == "image (cannot be read)"
    with pytest.raises(SOMAError, match=r"image\.soma"):
        np.asarray(layer.data[0][2300:, 3100:])
    viewer.dims.ndisplay = 3
    canvas.picture()


def test_a_store_that_comes_back_is_shown_again(
    viewer, canvas, rgb_image, monkeypatch, qtbot
):
    from napari_msimage.plugin import _level_view

    monkeypatch.setattr(_level_view, "_FIRST_PAUSE_S", 0.01)
    (layer,) = viewer.open(rgb_image, plugin="napari-msimage")
    layer.data[0].failures.note_failure(SOMAError("Gone."))
    qtbot.waitUntil(lambda: layer.name == "image (cannot be read)")
    qtbot.wait(50)
    layer.refresh()
    qtbot.waitUntil(lambda: layer.name == "image")
    assert not layer.name_overlay.visible


@pytest.mark.parametrize(
    "dtype",
    [
        "int8",
        "uint8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "uint64",
        "float32",
        "float64",
    ],
)
def test_every_pixel_type_is_drawn(viewer, canvas, write_soma, dtype):
    cells = np.zeros((60, 80), dtype)
    cells[:, 40:] = 100
    (layer,) = viewer.open(write_soma([cells], ("y", "x")), plugin="napari-msimage")
    picture = canvas.picture().sum(-1)
    assert picture.min() == 0
    assert picture.max() > 250
    assert layer.dtype == dtype


@pytest.fixture
def slicing_in_the_background():
    from napari.settings import get_settings

    settings = get_settings()
    settings.experimental.async_ = True
    yield
    settings.experimental.async_ = False


@pytest.mark.usefixtures("slicing_in_the_background")
def test_slicing_in_the_background(
    viewer, canvas, write_soma, notices, preferences, qtbot
):
    levels = [noise(2400, 3200), noise(1200, 1600), noise(600, 800)]
    (layer,) = viewer.open(write_soma(levels, ("y", "x")), plugin="napari-msimage")
    viewer.scene.camera.center = (0, 1200, 1600)
    viewer.scene.camera.zoom = 2
    qtbot.waitUntil(lambda: layer.data_level == 0 and layer.loaded, timeout=10000)
    canvas.picture()
    rows, columns = layer.corner_pixels.T
    expected = levels[0][rows[0] : rows[1] + 1, columns[0] : columns[1] + 1]
    qtbot.waitUntil(lambda: layer._slice.image.raw.shape == expected.shape)
    np.testing.assert_array_equal(layer._slice.image.raw, expected)

    shutil.rmtree(layer.metadata["napari_msimage"]["uri"])
    viewer.scene.camera.center = (0, 100, 3100)
    qtbot.waitUntil(
        lambda: canvas.picture() is not None and "(cannot be read)" in layer.name,
        timeout=10000,
    )
    assert len([text for kind, text in notices if kind == "warning"]) == 1
