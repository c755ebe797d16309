"""The "Export region" form in a real window: regions, levels, outline, run, errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog

from napari_msimage import engines
from napari_msimage.engines import Progress
from napari_msimage.errors import StorageError
from napari_msimage.plugin import open_image
from napari_msimage.plugin._export_settings import ExportSettings, save_settings
from napari_msimage.plugin.widgets import _export_results
from napari_msimage.plugin.widgets._jobs import running_jobs

from ..conftest import settle

pytestmark = pytest.mark.gui

RNG = np.random.default_rng(5)


def noise(*shape, dtype="uint8"):
    return RNG.integers(1, 200, shape).astype(dtype)


@pytest.fixture
def asked(monkeypatch):
    """Return the questions that are asked; all are answered by ``asked.answer``."""
    seen = SimpleNamespace(questions=[], answer=True)

    def confirm(parent, title, question, details, action):
        seen.questions.append(f"{question} {details}")
        return seen.answer

    monkeypatch.setattr(_export_results, "confirm", confirm)
    return seen


@pytest.fixture
def slow(monkeypatch):
    """Make the engine take its time; return what it notes."""
    seen = SimpleNamespace(plans=[], closed=[], error=None)

    def write_export(plan):
        try:
            for step in range(1000):
                yield Progress(step * 2**20, 1000 * 2**20)
                if step == 0 and not running_jobs():
                    return plan.paths
                if step == 1:
                    seen.plans.append(plan)
                if step == 5 and seen.error is not None:
                    raise seen.error
                time.sleep(0.02)
        finally:
            seen.closed.append(threading.current_thread())

    monkeypatch.setattr(engines, "write_export", write_export)
    return seen


def add_image(viewer, *shape, name="liver", **arguments):
    finest = noise(*(shape or (90, 130)))
    levels = [finest, finest[..., ::2, ::2].copy()]
    return viewer.add_image(levels, name=name, multiscale=True, **arguments)


def run(form, wait_for, planned):
    """Run, and return what was said."""
    planned()
    form.run.native.click()
    wait_for(lambda: not form.is_running and form.message.startswith("Exported"))
    return form.message


def is_running():
    return bool(running_jobs()) and running_jobs()[0].progress is not None


# Opening the form


def test_without_an_image_it_says_what_to_do(form, wait_for):
    wait_for(lambda: form.message.startswith("Open an image first"))
    assert not form.run.enabled
    assert form.table.texts() == []


def test_it_starts_with_the_selected_image_and_a_free_place(viewer, form, planned):
    add_image(viewer)
    planned()
    assert form.image.current_choice == "liver"
    assert form.place.region.value == "view"
    assert os.path.basename(form.destination.value) == "liver.npy"
    assert form.run.enabled
    assert form.message.startswith("1 file, about")


def test_layers_of_any_kind_of_image_can_be_chosen(viewer, form, planned, write_soma):
    open_image(write_soma([noise(2, 40, 60), noise(2, 20, 30)]), viewer)
    viewer.add_labels(noise(40, 60), name="nuclei")
    viewer.add_points([[1, 1]])
    viewer.add_shapes([[[1, 1], [9, 9]]])
    viewer.layers.selection.active = viewer.layers["nuclei"]
    planned()
    choices = form.image.choices
    assert [key for key in choices if key] == [c.key for c in form._choices]
    assert [c.name for c in form._choices] == ["nuclei", "image (2 channels)"]
    assert form.image.current_choice == "nuclei"


def test_it_follows_the_selected_layer(viewer, form, planned):
    first, second = add_image(viewer), add_image(viewer, 50, 70, name="kidney")
    planned()
    assert form.image.current_choice == "kidney"
    viewer.layers.selection.active = first
    planned()
    assert form.image.current_choice == "liver"
    assert os.path.basename(form.destination.value) == "liver.npy"
    viewer.layers.remove(first)
    planned()
    assert form.image.current_choice == second.name
    assert form.message == "'liver' was removed."


def test_menus_and_palette_offer_it(viewer):
    from napari._app_model import get_app_model

    menus = get_app_model().menus
    places = ("napari/file/io_utilities", "napari/layers/data")
    for menu in (*places, menus.COMMAND_PALETTE_ID):
        found = [
            item.command.id
            for item in menus.get_menu(menu)
            if hasattr(item, "command") and item.command.id.endswith("export_region")
        ]
        assert len(found) == 1, menu


def test_closing_the_window_ends_everything(tmp_path):
    code = (
        "import numpy as np, napari, sys, time\n"
        "from qtpy.QtWidgets import QApplication\n"
        "viewer = napari.Viewer()\n"
        "viewer.add_image(np.zeros((90, 130), 'u1'))\n"
        "dock, form = viewer.window.add_plugin_dock_widget("
        "'napari-msimage', 'Export region')\n"
        "end = time.time() + 20\n"
        "while time.time() < end and not form.run.enabled:\n"
        "    QApplication.processEvents()\n"
        "assert form.run.enabled\n"
        "viewer.scene.camera.zoom *= 2\n"
        "viewer.close()\n"
        "QApplication.processEvents()\n"
    )
    env = {**os.environ, "NAPARI_CONFIG": str(tmp_path / "settings.yaml")}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Error" not in ended.stderr


def test_the_key_is_bound(viewer, form):
    from napari.utils.key_bindings import coerce_keybinding

    from napari_msimage.plugin._keys import SHORTCUT

    assert coerce_keybinding(SHORTCUT) in viewer.keymap


# Levels


def test_the_table_shows_what_each_level_takes(viewer, form, planned):
    add_image(viewer, scale=(0.5, 0.5), units="micrometer")
    form.place.region.value = "whole"
    planned()
    assert [row[1:5] for row in form.table.texts()] == [
        ("90\u00d7130", "11.7 k", "0.5 µm", "11.4 KiB"),
        ("45\u00d765", "2925", "1 µm", "2.86 KiB"),
    ]
    assert form.table.native.horizontalHeaderItem(1).text() == "Shape (y, x)"
    assert form.table.chosen == 0
    form.table.native.cellClicked.emit(1, 0)
    assert form.level.value == 1
    planned()
    assert form.table.chosen == 1


def test_the_table_follows_the_view(viewer, form, planned):
    add_image(viewer, 900, 1300)
    viewer.reset_view()
    planned()
    before = form.table.rows[0].shapes
    viewer.scene.camera.zoom *= 20
    planned()
    after = form.table.rows[0].shapes
    assert after[0][0] < before[0][0] / 2
    viewer.scene.camera.center = (0, 0)
    planned()
    assert form.table.rows[0].shapes != after


def test_the_table_follows_while_the_view_still_moves(viewer, form, planned, gaps):
    add_image(viewer, 900, 1300)
    planned()
    seen = set()

    def move():
        viewer.scene.camera.zoom *= 1.01
        seen.add(form.table.rows[0].shapes)

    gaps(1.5, each=move)
    assert len(seen) > 3


def test_shapes_are_planned_again_only_if_the_screen_shows_another_level(
    viewer, form, planned
):
    add_image(viewer)
    viewer.add_shapes([np.array([[4, 4], [14, 24]])])
    form.place.region.value = "shapes"
    planned()
    form.level.value = "screen"
    viewer.scene.camera.zoom = 4
    first = planned()
    assert form.table.chosen == 0
    viewer.scene.camera.center = (3, 3)
    assert not form.is_planning
    viewer.scene.camera.zoom = 0.2
    assert form.is_planning
    assert planned() is not first
    assert form.table.chosen == 1


@pytest.mark.parametrize(
    ("choice", "number", "unit", "level"),
    [("size", "0.9", "µm/pixel", 1), ("pixels", "4 000", "pixels per region", 1)],
)
def test_levels_by_rule(viewer, form, planned, choice, number, unit, level):
    add_image(viewer, scale=(0.5, 0.5), units="micrometer")
    form.place.region.value = "whole"
    planned()
    form.level.value = choice
    assert form._number_row.visible
    planned()
    assert form.is_message_error
    form.level_number.value = number
    planned()
    assert form.level_unit.value == unit
    assert form.table.chosen == level
    assert form.run.enabled


# Regions and pixels


def test_the_current_view_is_exported(viewer, form, folder, wait_for, planned):
    layer = add_image(viewer, 900, 1300)
    viewer.scene.camera.zoom *= 5
    words = run(form, wait_for, planned)
    (path,) = folder.glob("*.npy")
    assert f"{str(path)!r}" in words
    meta = json.loads((folder / "liver.npy.json").read_text())
    (top, bottom), (left, right) = meta["level_pixels"]
    np.testing.assert_array_equal(np.load(path), layer.data[0][top:bottom, left:right])
    half = np.array(viewer.canvas.size) / viewer.scene.camera.zoom / 2
    middle = np.array(viewer.scene.camera.center[-2:])
    np.testing.assert_allclose((top, left), np.floor(middle - half + 0.5))
    np.testing.assert_allclose((bottom, right), np.ceil(middle + half + 0.5))


def test_shapes_become_files_with_a_table(viewer, form, folder, wait_for, planned):
    layer = add_image(viewer)
    shapes = viewer.add_shapes(
        [
            np.array([[9.5, 19.5], [29.5, 59.5]]),
            np.array([[4.5, 4.5], [14.5, 24.5]]),
        ],
        features={"label": ["tumour", "stroma"]},
        name="drawn",
    )
    form.place.region.value = "shapes"
    planned()
    assert form.place.shapes_layer is shapes
    assert form.image.current_choice == "liver"
    assert os.path.basename(form.destination.value) == "liver_{index}_{region}.npy"
    assert "liver_1_tumour.npy, liver_2_stroma.npy" in form.notes
    run(form, wait_for, planned)
    tumour = np.load(folder / "liver_1_tumour.npy")
    np.testing.assert_array_equal(tumour, layer.data[0][10:30, 20:60])
    stroma = np.load(folder / "liver_2_stroma.npy")
    np.testing.assert_array_equal(stroma, layer.data[0][5:15, 5:25])
    assert len(list(folder.glob("*.csv"))) == 1


def test_only_selected_shapes(viewer, form, planned):
    add_image(viewer)
    rectangles = [np.array([[9.5, 19.5], [29.5, 59.5]]), np.array([[4, 4], [14, 24]])]
    shapes = viewer.add_shapes(rectangles, name="Shapes")
    form.place.region.value = "selected"
    shapes.selected_data = set()
    planned()
    assert form.message.startswith("No shape of 'Shapes' is selected")
    shapes.selected_data = {0}
    planned()
    assert form.table.rows[0].shapes == ((20, 40),)
    shapes.add_rectangles(np.array([[2, 2], [8, 8]]))
    shapes.selected_data = {1, 2}
    planned()
    assert len(form.table.rows[0].shapes) == 2


def test_masks_are_offered_for_shapes_only(viewer, form, folder, wait_for, planned):
    layer = add_image(viewer)
    planned()
    assert not form.mask.visible
    viewer.add_shapes()
    viewer.layers["Shapes"].add_ellipses(
        np.array([[9.5, 9.5], [9.5, 49.5], [39.5, 49.5], [39.5, 9.5]])
    )
    form.place.region.value = "shapes"
    planned()
    assert form.mask.visible
    form.mask.value = "fill"
    assert form.fill_value.visible
    form.fill_value.value = "7"
    run(form, wait_for, planned)
    pixels = np.load(folder / "liver.npy")
    assert pixels.shape == (30, 40)
    assert (pixels[0, 0], pixels[-1, -1]) == (7, 7)
    np.testing.assert_array_equal(pixels[10:20, 15:25], layer.data[0][20:30, 25:35])


@pytest.mark.parametrize(
    ("kind", "lower", "upper"),
    [
        ("pixels", ("20", "10"), ("60", "30")),
        ("world", ("39.5", "19.5"), ("119.5", "59.5")),
    ],
)
def test_typed_bounds(viewer, form, folder, wait_for, planned, kind, lower, upper):
    layer = add_image(viewer, scale=(2, 2), translate=(0.5, 0.5))
    planned()
    form.place.region.value = kind
    planned()
    for boxes, texts in ((form.place.lower, lower), (form.place.upper, upper)):
        assert [box.label for box in boxes] == ["x", "y"]
        for box, text in zip(boxes, texts, strict=True):
            box.value = text
    run(form, wait_for, planned)
    (path,) = folder.glob("*.npy")
    np.testing.assert_array_equal(np.load(path), layer.data[0][10:30, 20:60])


def test_bounds_begin_with_the_region_before(viewer, form, planned):
    add_image(viewer, 90, 130, scale=(0.5, 0.5), units="micrometer")
    viewer.add_shapes([np.array([[4.75, 9.75], [14.75, 29.75]])], units="micrometer")
    form.place.region.value = "shapes"
    planned()
    form.place.region.value = "pixels"
    planned()
    assert form.place.bounds == (("10", "20"), ("30", "60"))
    form.place.region.value = "world"
    planned()
    assert form.place.bounds == (("4.75", "9.75"), ("14.75", "29.75"))


def test_planes_of_a_volume(viewer, form, folder, wait_for, planned):
    layer = viewer.add_image(noise(7, 40, 60), name="stack")
    viewer.dims.set_point(0, 3)
    viewer.reset_view()
    planned()
    assert form.place.planes.visible
    assert form.table.rows[0].shapes[0][0] == 1
    form.place.planes.value = "range"
    form.place.first_plane.value, form.place.last_plane.value = "2", "4"
    run(form, wait_for, planned)
    exported = np.load(folder / "stack.npy")
    np.testing.assert_array_equal(exported[:, :20], layer.data[2:5, :20])
    form.place.planes.value = "all"
    planned()
    assert form.table.rows[0].shapes[0][0] == 7


def test_channels_of_one_soma_image(
    viewer, form, folder, wait_for, planned, write_soma
):
    pixels = noise(3, 40, 60, dtype="uint16")
    open_image(write_soma([pixels]), viewer, rgb=False)
    form.place.region.value = "whole"
    planned()
    assert len(form.channels.names) == 3
    form.channels.tick(1, False)
    run(form, wait_for, planned)
    (path,) = folder.glob("*.npy")
    np.testing.assert_array_equal(np.load(path), pixels[[0, 2]])
    form.channels.tick(0, False)
    form.channels.tick(2, False)
    planned()
    assert form.message == "No channel is ticked. Tick the channels to be exported."


def test_the_stored_axis_order_is_kept(
    viewer, form, folder, wait_for, planned, write_soma
):
    pixels = noise(60, 40, 2, dtype="uint16")
    open_image(write_soma([pixels], ("x", "y", "soma_channel")), viewer)
    form.place.region.value = "pixels"
    planned()
    for boxes, texts in ((form.place.lower, "73"), (form.place.upper, "99")):
        for box, text in zip(boxes, texts, strict=True):
            box.value = text
    run(form, wait_for, planned)
    (path,) = folder.glob("*.npy")
    np.testing.assert_array_equal(np.load(path), pixels[7:9, 3:9])


def test_selected_layers_are_channels_of_one_image(
    viewer, form, folder, wait_for, planned
):
    first = viewer.add_image(noise(40, 60), name="DAPI")
    second = viewer.add_image(noise(40, 60), name="GFP")
    viewer.add_image(noise(9, 9), name="other")
    viewer.layers.selection = {first, second}
    form.image.value = "selected"
    form.place.region.value = "whole"
    planned()
    assert form.channels.names == ("DAPI", "GFP")
    run(form, wait_for, planned)
    (path,) = folder.glob("*.npy")
    np.testing.assert_array_equal(np.load(path), [first.data, second.data])


def test_a_channel_axis_within_a_layer(viewer, form, folder, wait_for, planned):
    layer = viewer.add_image(noise(5, 3, 40, 60), name="stack")
    planned()
    assert "axis 0 at 2 (of 0 to 4)" in form.notes
    assert "choose it under Channel axis" in form.notes
    form.channel_axis.value = 1
    form.place.region.value = "whole"
    run(form, wait_for, planned)
    np.testing.assert_array_equal(np.load(folder / "stack.npy"), layer.data)


def test_as_displayed_is_rgb_and_follows_the_contrast(
    viewer, form, folder, wait_for, planned
):
    layer = viewer.add_image(noise(40, 60), colormap="red", contrast_limits=(0, 100))
    form.place.region.value = "whole"
    form.format.value = "png"
    form.colors.value = True
    planned()
    layer.contrast_limits = (0, 50)
    run(form, wait_for, planned)
    from PIL import Image

    (path,) = folder.glob("*.png")
    red, green, blue = np.moveaxis(np.asarray(Image.open(path)), -1, 0)
    expected = np.clip(layer.data / 50, 0, 1) * 255
    assert np.abs(red - expected).max() <= 1
    assert not green.any()
    assert not blue.any()


# Formats and places


def test_options_are_those_of_the_format(viewer, form, planned):
    add_image(viewer)
    planned()
    shown = {}
    for name in ("ome-tiff", "ome-zarr", "png", "npy", "soma", "layer"):
        form.format.value = name
        shown[name] = (
            form.compression.visible,
            form.pyramid.visible,
            form.json.visible,
            form._place_row.visible,
        )
    assert shown == {
        "ome-tiff": (True, True, True, True),
        "ome-zarr": (True, True, True, True),
        "png": (False, False, False, True),
        "npy": (False, False, False, True),
        "soma": (False, True, True, True),
        "layer": (False, False, False, False),
    }


def test_the_ending_follows_the_format_and_the_other_way_round(form, viewer, planned):
    add_image(viewer)
    planned()
    form.destination.value = "/tmp/mine.npy"
    form.format.value = "png"
    assert form.destination.value == "/tmp/mine.png"
    form.destination.value = "/tmp/mine.tiff"
    assert form.format.value == "ome-tiff"
    assert form.destination.value == "/tmp/mine.tiff"


def test_a_tiff_has_its_pixel_size_and_place(viewer, form, folder, wait_for, planned):
    layer = add_image(viewer, scale=(0.5, 0.5), units="micrometer")
    form.format.value = "ome-tiff"
    form.pyramid.value = True
    form.place.region.value = "whole"
    run(form, wait_for, planned)
    with tifffile.TiffFile(folder / "liver.ome.tif") as file:
        assert 'PhysicalSizeX="0.5"' in file.ome_metadata
        np.testing.assert_array_equal(file.asarray().squeeze(), layer.data[0])


def test_labels_as_ome_zarr(viewer, form, folder, wait_for, planned):
    zarr = pytest.importorskip("zarr")
    layer = viewer.add_labels(noise(90, 130, dtype="int32"), name="nuclei")
    form.format.value = "ome-zarr"
    form.place.region.value = "whole"
    assert form.pyramid.value
    run(form, wait_for, planned)
    group = zarr.open_group(folder / "nuclei.ome.zarr", mode="r")
    finest = group[group.attrs["ome"]["multiscales"][0]["datasets"][0]["path"]]
    np.testing.assert_array_equal(np.squeeze(finest[...]), layer.data)


def test_the_folder_is_shown(viewer, form, folder, wait_for, planned, monkeypatch):
    shown = []
    monkeypatch.setattr(
        QDesktopServices, "openUrl", lambda url: shown.append(url.toLocalFile()) or True
    )
    add_image(viewer)
    run(form, wait_for, planned)
    form.show_folder.native.click()
    assert shown == [str(folder)]
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: False)
    form.show_folder.native.click()
    assert form.message.startswith("No file manager could be opened")


def test_a_new_layer_lies_in_the_same_place(viewer, form, planned, wait_for):
    layer = add_image(viewer, scale=(0.5, 0.5), units="micrometer")
    form.format.value = "layer"
    form.place.region.value = "whole"
    planned()
    form.place.region.value = "pixels"
    planned()
    form.place.lower[0].value = "20"
    planned()
    form.run.native.click()
    wait_for(lambda: form.message.startswith("Added"))
    new = viewer.layers[-1]
    np.testing.assert_array_equal(np.asarray(new.data[0]), layer.data[0][:, 20:])
    np.testing.assert_allclose(new.translate, (0, 10))
    assert form.image.current_choice.startswith("liver")
    assert form._source.layers == (layer,)


def test_browsing_proposes_and_keeps_the_ending(
    viewer, form, folder, planned, monkeypatch
):
    add_image(viewer)
    planned()
    seen = []

    def ask(parent, title, start, filters, options):
        seen.append((start, filters))
        return str(folder / "picked"), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    form.browse.native.click()
    assert seen == [(str(folder / "liver.npy"), "npy (*.npy)")]
    assert form.destination.value == str(folder / "picked.npy")


def test_the_last_settings_are_proposed(add_form, viewer, folder, wait_for, qtbot):
    save_settings(
        ExportSettings(str(folder), "png", "1", as_displayed=True, outside="fill")
    )
    form = add_form()
    add_image(viewer)
    wait_for(lambda: form.run.enabled)
    assert (form.format.value, form.level.value, form.colors.value) == ("png", 1, True)
    assert form.mask.value == "fill"
    assert form.destination.value == str(folder / "liver.png")


# Replacing


def test_an_existing_file_is_replaced_after_asking(
    viewer, form, folder, wait_for, planned, asked
):
    layer = add_image(viewer)
    form.place.region.value = "whole"
    path = folder / "old.npy"
    path.write_text("precious")
    form.destination.value = str(path)
    planned()
    assert "replaces what is there, after asking" in form.message
    asked.answer = False
    form.run.native.click()
    settle()
    assert path.read_text() == "precious"
    assert asked.questions == [
        f"Replace what is there? {str(path)!r} will be replaced; that cannot be taken "
        "back."
    ]
    asked.answer = True
    run(form, wait_for, planned)
    np.testing.assert_array_equal(np.load(path), layer.data[0])


def test_what_appeared_meanwhile_is_left_alone(
    viewer, form, folder, wait_for, planned, asked
):
    add_image(viewer)
    planned()
    path = folder / "liver.npy"
    path.write_text("precious")
    form.run.native.click()
    wait_for(lambda: not form.is_running and form.is_message_error)
    assert "already" in form.message
    assert path.read_text() == "precious"
    assert asked.questions == []


# The outline


def corners(form):
    """Return the corners of the rectangle on the canvas."""
    return form._outline.segments[:, 0]


def test_the_outline_is_around_exactly_the_exported_pixels(
    viewer, form, planned, canvas
):
    viewer.add_image(np.zeros((90, 130), np.uint8), name="dark")
    planned()
    form.place.region.value = "pixels"
    planned()
    for boxes, texts in (
        (form.place.lower, ("20.4", "10")),
        (form.place.upper, ("60", "30")),
    ):
        for box, text in zip(boxes, texts, strict=True):
            box.value = text
    planned()
    settle()
    np.testing.assert_allclose(corners(form).min(axis=0), (9.5, 19.5))
    np.testing.assert_allclose(corners(form).max(axis=0), (29.5, 59.5))
    shot = canvas.picture()
    yellow = np.argwhere((shot[..., 0] > 200) & (shot[..., 1] > 150))
    zoom = viewer.scene.camera.zoom
    height, width = yellow.max(axis=0) - yellow.min(axis=0)
    scale = shot.shape[0] / viewer.canvas.size[0]
    assert abs(height - 20 * zoom * scale) < 6
    assert abs(width - 40 * zoom * scale) < 6


def test_the_outline_disturbs_nothing(viewer, form, planned):
    layer = add_image(viewer)
    shapes = viewer.add_shapes([np.array([[4, 4], [14, 24]])])
    viewer.layers.selection = {layer}
    extent = viewer.layers.extent.world.copy()
    form.place.region.value = "shapes"
    planned()
    assert form._outline.segments is not None
    assert list(viewer.layers) == [layer, shapes]
    assert viewer.layers.selection == {layer}
    np.testing.assert_array_equal(viewer.layers.extent.world, extent)
    assert [c.layers for c in form._choices] == [(layer,)]


def test_the_outline_is_switched_off_and_on(viewer, form, planned):
    add_image(viewer)
    planned()
    assert form._outline.segments is not None
    form.outline.value = False
    assert form._outline.segments is None
    form.outline.value = True
    assert form._outline.segments is not None
    form.place.region.value = "pixels"
    planned()
    form.place.lower[0].value = "9999"
    planned()
    assert form._outline.segments is None


def test_closing_the_form_removes_the_outline(viewer, form, planned, wait_for):
    add_image(viewer)
    planned()
    before = len(viewer.scene.overlays)
    (dock,) = viewer.window._wrapped_dock_widgets.values()
    dock.destroyOnClose()
    wait_for(lambda: len(viewer.scene.overlays) == before - 1)
    viewer.scene.camera.zoom *= 2
    settle()


def test_the_outline_shows_in_grid_mode_and_in_3d(viewer, form, planned):
    viewer.add_image(noise(7, 40, 60), name="stack")
    viewer.add_image(noise(7, 40, 60), name="other")
    form.place.region.value = "whole"
    planned()
    viewer.canvas.grid.enabled = True
    planned()
    settle()
    assert len(form._outline.segments) == 4
    viewer.canvas.grid.enabled = False
    viewer.dims.ndisplay = 3
    planned()
    settle()
    assert form._outline.segments.shape == (12, 2, 3)


# Running


def test_progress_rate_and_cancel(viewer, form, folder, wait_for, planned, slow):
    add_image(viewer)
    planned()
    form.run.native.click()
    wait_for(lambda: "left" in form.message)
    assert "MiB/s" in form.message
    assert "of 0.977 GiB" in form.message
    assert form.bar.visible
    assert not form.run.enabled
    assert not form._top.enabled
    start = time.monotonic()
    form.cancel.native.click()
    wait_for(lambda: form.message.startswith("Cancelled; nothing was written"))
    assert time.monotonic() - start < 1
    assert os.listdir(folder) == []
    wait_for(lambda: form.run.enabled)


def test_a_real_export_is_cancelled_without_a_trace(
    viewer, form, folder, wait_for, planned
):
    slow = SlowPixels((12_000, 12_000), pause=0.2)
    viewer.add_image(slow, name="slow", contrast_limits=(0, 9), multiscale=False)
    form.place.region.value = "whole"
    planned()
    form.run.native.click()
    wait_for(lambda: is_running() and running_jobs()[0].progress.done > 0)
    form.cancel.native.click()
    wait_for(lambda: not form.is_running)
    assert form.message.startswith("Cancelled")
    assert os.listdir(folder) == []


def test_a_layer_removed_while_it_is_exported(viewer, form, folder, wait_for, planned):
    layer = viewer.add_image(
        SlowPixels((3000, 3000)), name="slow", contrast_limits=(0, 9), multiscale=False
    )
    form.place.region.value = "whole"
    planned()
    form.run.native.click()
    wait_for(is_running)
    viewer.layers.remove(layer)
    wait_for(lambda: not form.is_running)
    assert form.message.startswith("Exported")
    assert form.message.endswith("'slow' was removed meanwhile; all of it was written.")
    assert np.load(folder / "slow.npy", mmap_mode="r").shape == (3000, 3000)
    assert not form.run.enabled


def test_a_failure_is_told_in_words(viewer, form, wait_for, planned, slow):
    slow.error = StorageError("The disk is on fire")
    add_image(viewer)
    planned()
    form.run.native.click()
    wait_for(lambda: form.is_message_error and not form.is_running)
    assert form.message == "The disk is on fire."


def test_closing_the_form_stops_the_run(viewer, form, wait_for, planned, slow):
    add_image(viewer)
    planned()
    form.run.native.click()
    wait_for(is_running)
    (dock,) = viewer.window._wrapped_dock_widgets.values()
    dock.destroyOnClose()
    wait_for(lambda: not running_jobs())
    assert slow.closed


def test_run_exports_the_view_of_that_moment(viewer, form, wait_for, planned, slow):
    add_image(viewer, 900, 1300)
    planned()
    viewer.scene.camera.zoom *= 6
    form.run.native.click()
    wait_for(lambda: bool(slow.plans))
    shape = slow.plans[0].files[0].shape
    expected = viewer.canvas.size[0] / viewer.scene.camera.zoom
    assert abs(shape[0] - expected) <= 2


class SlowPixels:
    """Pixels that take their time."""

    dtype = np.dtype("uint8")
    ndim = 2

    def __init__(self, shape, pause=0.02):
        self.shape, self._pause = shape, pause
        self.size = int(np.prod(shape))

    def __len__(self):
        return self.shape[0]

    def __array__(self, dtype=None, copy=None):
        return self[...]

    def __getitem__(self, key):
        key = key if isinstance(key, tuple) else (key,)
        if Ellipsis in key:
            key = (slice(None),) * 2
        key = (*key, *(slice(None),) * (2 - len(key)))
        time.sleep(self._pause)
        sizes = [
            len(range(*part.indices(n))) if isinstance(part, slice) else 1
            for part, n in zip(key, self.shape, strict=True)
        ]
        return np.ones(sizes, np.uint8)


# Errors in words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "Enter where the file shall be"),
        ("{folder}", "is a folder"),
        ("{folder}/no/x.npy", "does not exist"),
        ("{folder}/" + "x" * 300 + ".npy", "bytes, at most"),
        ("s3://bucket/x.npy", "local folders"),
    ],
)
def test_bad_places(viewer, form, folder, planned, name, words):
    add_image(viewer)
    planned()
    form.destination.value = name.replace("{folder}", str(folder))
    planned()
    assert form.is_message_error
    assert words in form.message
    assert not form.run.enabled
    assert form.table.texts()


def test_what_a_format_cannot_hold_is_said_and_dimmed(viewer, form, planned):
    viewer.add_image(noise(40, 60, dtype="float32"))
    form.format.value = "png"
    planned()
    assert form.is_message_error
    assert "PNG holds 8 or 16 bits" in form.message
    assert form.table.rows[0].refusal


def test_a_turned_image_is_noted(viewer, form, planned):
    add_image(viewer, rotate=30)
    form.format.value = "ome-tiff"
    planned()
    assert "turned or sheared" in form.notes
    form.format.value = "soma"
    planned()
    assert "turned" not in form.notes


def test_the_view_beside_the_image(viewer, form, planned):
    add_image(viewer)
    viewer.scene.camera.center = (1e6, 1e6)
    planned()
    assert form.message.startswith("The current view shows nothing of 'liver'")


def test_shapes_in_other_dimensions(viewer, form, planned):
    viewer.add_image(noise(7, 40, 60), name="stack")
    viewer.add_shapes([np.array([[1, 5, 5], [1, 5, 20], [4, 5, 20], [4, 5, 5]])])
    form.place.region.value = "shapes"
    planned()
    assert "other dimensions" in form.message


def test_the_3d_view_needs_a_typed_or_whole_region(viewer, form, planned):
    viewer.add_image(noise(7, 40, 60), name="stack")
    viewer.dims.ndisplay = 3
    planned()
    assert form.message.startswith("A region of the 3-D view is not defined")
    form.place.region.value = "whole"
    planned()
    assert form.run.enabled


# The window goes on


def test_the_window_goes_on_while_the_view_moves(viewer, form, planned, gaps):
    add_image(viewer, 4000, 5000)
    planned()
    settle(20)

    def move():
        viewer.scene.camera.center = np.add(viewer.scene.camera.center, (0, 3, 3))

    pauses = [gaps(1, each=move) for _ in range(3)]
    assert min(pauses) < 0.1


def test_the_window_goes_on_during_a_run(viewer, form, folder, planned, wait_for, gaps):
    viewer.add_image(
        SlowPixels((12_000, 12_000), 0.01),
        name="slow",
        contrast_limits=(0, 9),
        multiscale=False,
    )
    form.place.region.value = "whole"
    form.format.value = "ome-tiff"
    planned()
    form.run.native.click()
    wait_for(lambda: is_running() and running_jobs()[0].progress.done > 0)
    pauses = [gaps(0.4) for _ in range(4)]
    assert min(pauses) < 0.1
    if form.is_running:
        form.cancel.native.click()
    wait_for(lambda: not form.is_running)


# A form that is hidden, and the keyboard


def test_hiding_the_dock_hides_the_outline(viewer, form, planned, wait_for):
    add_image(viewer)
    planned()
    (dock,) = viewer.window._wrapped_dock_widgets.values()
    dock.toggleViewAction().trigger()
    settle()
    assert form._outline.segments is None
    viewer.scene.camera.zoom *= 2
    settle()
    assert form._outline.segments is None
    before = form.table.rows[0].shapes
    dock.toggleViewAction().trigger()
    wait_for(lambda: form._outline.segments is not None)
    planned()
    assert form.table.rows[0].shapes != before
    assert form.run.enabled


def test_tab_goes_from_top_to_bottom(viewer, form, planned):
    add_image(viewer)
    planned()
    form.place.region.value = "pixels"
    planned()
    assert form.run.enabled
    fields, field = [], form.image.native
    while True:
        is_met = field.focusPolicy().value & 1 and field.isEnabled()
        if field.isVisibleTo(form.native) and is_met:
            fields.append(field)
        field = field.nextInFocusChain()
        if field is form.image.native:
            break
    n_fields = fields.index(form.run.native) + 1
    fields, others = fields[:n_fields], fields[n_fields:]
    assert all(form.native.isAncestorOf(field) for field in fields)
    assert not any(form.native.isAncestorOf(field) for field in others)
    heights = [f.mapTo(form.native, f.rect().topLeft()).y() for f in fields]
    assert heights == sorted(heights)
    assert all(f.toolTip() for f in fields)
    bounds = [box.native for box in (*form.place.lower, *form.place.upper)]
    assert [field for field in fields if field in bounds] == bounds


def test_an_outline_that_is_hidden_draws_nothing(viewer, form, planned, canvas):
    viewer.add_image(np.zeros((90, 130), np.uint8), name="dark")
    form.place.region.value = "whole"
    planned()
    assert canvas.picture()[..., 0].max() > 200
    form.outline.value = False
    assert canvas.picture()[..., 0].max() < 50


def test_images_are_drawn_after_lines_were_hidden_and_layers_removed(tmp_path):
    code = (
        "import numpy as np, napari, time\n"
        "from qtpy.QtWidgets import QApplication\n"
        "def wait(seconds):\n"
        "    end = time.monotonic() + seconds\n"
        "    while time.monotonic() < end:\n"
        "        QApplication.processEvents()\n"
        "pixels = np.random.default_rng(1).integers(1, 255, (200, 300), 'u1')\n"
        "viewer = napari.Viewer()\n"
        "_, form = viewer.window.add_plugin_dock_widget("
        "'napari-msimage', 'Export region')\n"
        "for add, data in 2 * [(viewer.add_image, pixels), "
        "(viewer.add_image, [pixels, pixels[::2, ::2]]), "
        "(viewer.add_labels, pixels.astype('i4'))]:\n"
        "    add(data)\n"
        "    viewer.reset_view()\n"
        "    viewer.scene.camera.zoom *= 3\n"
        "    end = time.monotonic() + 20\n"
        "    while form._outline.segments is None and time.monotonic() < end:\n"
        "        wait(0.1)\n"
        "    assert form._outline.segments is not None\n"
        "    wait(0.4)\n"
        "    viewer.layers.clear()\n"
        "viewer.close()\n"
    )
    env = {**os.environ, "NAPARI_CONFIG": str(tmp_path / "settings.yaml")}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
