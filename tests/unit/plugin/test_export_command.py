"""The command that exports the current view: what, where, at which level."""

from __future__ import annotations

import dataclasses

import numpy as np
import PIL.Image
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points

from napari_msimage.engines import run
from napari_msimage.errors import ArgumentError, SOMAError
from napari_msimage.plugin import _export_command, _export_settings
from napari_msimage.plugin._export_command import (
    layers_of_view,
    level_for,
    plan_view_export,
)
from napari_msimage.plugin._export_layer import layers_to_export
from napari_msimage.plugin._export_settings import (
    ExportSettings,
    keep_layer_settings,
    load_settings,
    save_settings,
)
from napari_msimage.plugin._keys import SHORTCUT, bind_keys
from napari_msimage.plugin._region_frame import view_state

SHAPES = [(240, 320), (120, 160), (60, 80)]


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch):
    """Keep what is remembered within a test; napari does not know the plugin here."""
    monkeypatch.setattr(_export_settings, "_unsaved", [])
    monkeypatch.setattr(_export_settings, "_page", lambda: None)


def image(**arguments):
    rng = np.random.default_rng(0)
    levels = [rng.integers(0, 255, shape, dtype=np.uint8) for shape in SHAPES]
    return Image(levels, multiscale=True, **arguments)


def viewer_with(*layers, zoom=1.0, center=(120, 160), size=(100, 200)):
    viewer = ViewerModel()
    for layer in layers:
        viewer.add_layer(layer)
    viewer.canvas.size = size
    viewer.scene.camera.center = (0, *center)
    viewer.scene.camera.zoom = zoom
    return viewer


def write_view(what):
    return _export_command._write(what, [])


# Settings


class Page:
    """A section of the preferences."""

    def __init__(self, **values):
        self.__dict__.update(values)


def test_settings_are_kept_on_the_page(monkeypatch):
    page = Page(folder="/a", format="png", level="1", as_displayed=True)
    monkeypatch.setattr(_export_settings, "_page", lambda: page)
    assert load_settings() == ExportSettings("/a", "png", "1", as_displayed=True)
    save_settings(ExportSettings("/b", "npy"))
    assert vars(page) == {
        "folder": "/b",
        "format": "npy",
        "level": "screen",
        "as_displayed": False,
    }


def test_settings_without_a_page_last_as_long_as_the_program():
    assert load_settings() == ExportSettings()
    save_settings(ExportSettings("/b", "npy"))
    assert load_settings() == ExportSettings("/b", "npy")


# What


def test_the_selected_layer_is_meant():
    one, other = image(name="one"), image(name="other")
    viewer = viewer_with(one, other, Points([(1, 1)]))
    viewer.layers.selection = {one}
    assert layers_of_view(viewer) == (one,)


def test_else_the_topmost_visible_one():
    layers = [image(name="one"), image(name="two"), image(name="hidden", visible=False)]
    viewer = viewer_with(*layers, Points([(1, 1)]))
    assert layers_of_view(viewer) == (layers[1],)


def test_channels_of_one_image_belong_together():
    def channel(index, image_id, visible=True):
        entry = {"image_id": image_id, "image_name": "a", "channel": index}
        return image(
            name=f"a {index}", metadata={"napari_msimage": entry}, visible=visible
        )

    layers = [channel(0, "1"), channel(1, "1"), channel(2, "1", False), channel(0, "2")]
    viewer = viewer_with(*layers)
    viewer.layers.selection = {layers[1]}
    assert layers_of_view(viewer) == tuple(layers[:2])


def test_nothing_to_export():
    with pytest.raises(ArgumentError, match="no visible image or labels layer"):
        layers_of_view(viewer_with(Points([(1, 1)]), image(visible=False)))


# Level


@pytest.mark.parametrize(
    ("zoom", "level"),
    [(2, 0), (1, 0), (0.6, 0), (0.5, 1), (0.3, 1), (0.25, 2), (0.1, 2)],
)
def test_the_level_has_at_least_the_pixels_of_the_screen(zoom, level):
    layer = image(scale=(3, 3))
    viewer = viewer_with(layer, zoom=zoom / 3)
    export = layers_to_export([layer])
    assert level_for(export, view_state(viewer), "screen") == level


def test_levels_by_number():
    layer = image()
    export, view = layers_to_export([layer]), view_state(viewer_with(layer))
    assert [level_for(export, view, wish) for wish in ("0", "2", "9")] == [0, 2, 2]
    with pytest.raises(ArgumentError, match="level of the last export is 'best'"):
        level_for(export, view, "best")


# Where


def test_names_of_files(tmp_path):
    viewer = viewer_with(image(name='a/b: "c"'))
    settings = ExportSettings(str(tmp_path), "png")
    first = plan_view_export(viewer, settings).destination
    assert first == tmp_path / "a_b_ _c__view.png"
    first.touch()
    assert plan_view_export(viewer, settings).destination.name.endswith("_view_2.png")


def test_folders_that_are_gone(tmp_path):
    with pytest.raises(ArgumentError, match=r"folder of the last export.*not there"):
        plan_view_export(viewer_with(image()), ExportSettings(str(tmp_path / "x")))


def test_odd_formats(tmp_path):
    with pytest.raises(ArgumentError, match="'jpeg'; the formats are ome-tiff"):
        plan_view_export(viewer_with(image()), ExportSettings(str(tmp_path), "jpeg"))


# Pixels


def test_files_hold_the_pixels_on_the_canvas(tmp_path):
    layer = image(name="tissue")
    viewer = viewer_with(layer, zoom=2, center=(99.5, 149.5))
    what = plan_view_export(viewer, ExportSettings(str(tmp_path), "npy", "0"))
    run(write_view(what))
    pixels = np.load(tmp_path / "tissue_view.npy")
    assert np.array_equal(pixels, layer.data[0][75:125, 100:200])


def test_colours_as_displayed(tmp_path):
    layer = image(name="tissue", colormap="red", contrast_limits=(0, 255))
    viewer = viewer_with(layer, zoom=2, center=(99.5, 149.5))
    settings = ExportSettings(str(tmp_path), "npy", "0", as_displayed=True)
    run(write_view(plan_view_export(viewer, settings)))
    pixels = np.load(tmp_path / "tissue_view.npy")
    assert pixels.shape == (50, 100, 3)
    assert np.array_equal(pixels[..., 0], layer.data[0][75:125, 100:200])
    assert not pixels[..., 1:].any()


def test_files_are_written_as_the_last_time(tmp_path):
    layer = Image(np.zeros((1200, 1300), np.uint8), name="tissue")
    viewer = viewer_with(layer, zoom=0.1, center=(600, 650))
    settings = ExportSettings(
        str(tmp_path), level="0", compression="none", pyramid="yes", json_file=True
    )
    run(write_view(plan_view_export(viewer, settings)))
    with tifffile.TiffFile(tmp_path / "tissue_view.ome.tif") as file:
        (series,) = file.series
        assert len(series.levels) > 1
        assert file.pages[0].compression == 1
    assert (tmp_path / "tissue_view.ome.tif.json").exists()


def test_settings_that_a_format_does_not_know_are_left_out():
    settings = ExportSettings(compression="zstd", pyramid="no")
    assert settings.compression_of("ome-tiff") == "zstd"
    assert settings.pyramid_of("soma") is False
    for target in ("npy", "png"):
        assert settings.compression_of(target) is settings.pyramid_of(target) is None
    assert ExportSettings().compression_of("ome-zarr") is None


def test_channels_are_those_of_the_last_time(tmp_path):
    layer = Image(np.arange(5 * 2 * 30 * 40).reshape(5, 2, 30, 40), name="stack")
    viewer = viewer_with(layer, zoom=2, center=(14.5, 19.5))
    settings = ExportSettings(str(tmp_path), "npy", "0")
    assert plan_view_export(viewer, settings).export.source.channel_axis is None
    keep_layer_settings([layer], 1, None)
    viewer.dims.set_point(0, 3)
    run(write_view(plan_view_export(viewer, settings)))
    assert np.array_equal(np.load(tmp_path / "stack_view.npy")[0], layer.data[3])
    keep_layer_settings([layer], 1, (1,))
    run(write_view(plan_view_export(viewer, settings)))
    found = np.load(tmp_path / "stack_view_2.npy")
    assert np.array_equal(found[0, 0], layer.data[3, 1])
    assert found.shape == (1, 1, 30, 40)


def test_planes_are_those_of_the_last_time(tmp_path):
    layer = Image(np.arange(5 * 30 * 40).reshape(5, 30, 40), name="stack")
    viewer = viewer_with(layer, zoom=2, center=(14.5, 19.5))
    settings = ExportSettings(str(tmp_path), "npy", "0", planes="all")
    run(write_view(plan_view_export(viewer, settings)))
    assert np.array_equal(np.load(tmp_path / "stack_view.npy"), layer.data)


def test_what_is_outside_of_a_turned_view_is_as_the_last_time(tmp_path):
    layer = Image(np.full((100, 100), 9, np.uint8), name="turned", rotate=30)
    viewer = viewer_with(layer, zoom=2, center=(60, 20), size=(60, 60))
    settings = ExportSettings(
        str(tmp_path), "npy", "0", outside="fill", fill_value="200"
    )
    notes = []
    run(_export_command._write(plan_view_export(viewer, settings), notes))
    assert any("turned or sheared" in note for note in notes)
    found = np.load(tmp_path / "turned_view.npy")
    assert set(np.unique(found)) == {9, 200}
    assert found[0, 0] == found[-1, -1] == 200
    settings = dataclasses.replace(settings, format="png", outside="alpha")
    run(write_view(plan_view_export(viewer, settings)))
    with PIL.Image.open(tmp_path / "turned_view.png") as picture:
        assert picture.mode == "LA"


def test_new_layers_are_added():
    layer, labels = image(name="tissue"), Labels(np.ones((240, 320), int), name="cells")
    viewer = viewer_with(layer, labels, zoom=2, center=(99.5, 149.5))
    viewer.layers.selection = {layer}
    settings = ExportSettings(format="layer", level="1")
    (made,) = _export_command.start_view_export(viewer, settings)
    assert made in viewer.layers
    assert np.array_equal(made.data[0], layer.data[1][37:63, 50:100])
    viewer.layers.selection = {labels}
    (made,) = _export_command.start_view_export(viewer, settings)
    assert isinstance(made, Labels)


# The key


def test_the_key_is_bound_once_and_spares_others(monkeypatch):
    viewer = viewer_with(image())
    bind_keys(viewer)
    bind_keys(viewer)
    (action,) = viewer.keymap.values()
    told = []
    monkeypatch.setattr(_export_command, "tell", lambda *args: told.append(args))
    save_settings(ExportSettings(format="layer"))
    n_layers = len(viewer.layers)
    action(viewer)
    assert len(viewer.layers) == n_layers + 1
    save_settings(ExportSettings(folder="/not/there"))
    action(viewer)
    assert told[-1][1] == "error"

    other = viewer_with(image())
    other.bind_key(SHORTCUT, print)
    bind_keys(other)
    assert list(other.keymap.values()) == [print]


def test_errors_of_the_command_are_told(monkeypatch):
    told = []
    monkeypatch.setattr(_export_command, "tell", lambda *args: told.append(args))
    monkeypatch.setattr("napari.current_viewer", lambda: None)
    _export_command.export_view()
    monkeypatch.setattr("napari.current_viewer", ViewerModel)
    _export_command.export_view()
    assert [text[:20] for text, _ in told] == [
        "Open a napari viewer",
        "There is no visible ",
    ]
    assert issubclass(ArgumentError, SOMAError)
