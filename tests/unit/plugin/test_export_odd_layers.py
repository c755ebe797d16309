"""Exports of layers that are not as they were opened, or not ours."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_msimage import write_layers
from napari_msimage.engines import export_region
from napari_msimage.errors import ArgumentError, RegionError
from napari_msimage.plugin import _export_command as command
from napari_msimage.plugin._export_layer import layers_to_export
from napari_msimage.plugin._export_outline import export_outline
from napari_msimage.plugin._export_settings import ExportSettings
from napari_msimage.plugin._export_stored import in_stored_order
from napari_msimage.plugin._open import OpenRequest, read_layers
from napari_msimage.plugin._placement import image_matrix
from napari_msimage.plugin._region_frame import view_state
from napari_msimage.plugin._region_shapes import drawn_shapes, shape_regions
from napari_msimage.plugin._region_typed import pixel_region

SHAPE = (60, 80)


def noise(shape=SHAPE, dtype=np.uint8):
    return np.random.default_rng(2).integers(0, 250, shape, dtype=dtype)


@pytest.fixture
def opened(tmp_path):
    uri = str(tmp_path / "tissue.soma")
    write_layers(uri, [(noise(), {"name": "tissue"}, "image")])
    return [Layer.create(*parts) for parts in read_layers(OpenRequest(uri))]


def test_pixels_that_were_replaced_are_exported_as_they_are_now(opened, tmp_path):
    export = layers_to_export(opened)
    assert in_stored_order(export, opened)[0] is not export
    opened[0].data = [np.full(SHAPE, 9, np.uint8)]
    changed = layers_to_export(opened)
    placed, _ = in_stored_order(changed, opened)
    path = export_region(placed.source, tmp_path / "a.npy")[0]
    assert (np.load(path) == 9).all()


def test_levels_of_another_image_are_not_taken_for_the_stored_ones(opened, tmp_path):
    other = str(tmp_path / "other.soma")
    write_layers(other, [(255 - noise(), {"name": "other"}, "image")])
    (parts,) = read_layers(OpenRequest(other))
    opened[0].data = parts[0]
    placed, _ = in_stored_order(layers_to_export(opened), opened)
    path = export_region(placed.source, tmp_path / "a.npy")[0]
    assert np.array_equal(np.load(path), 255 - noise())
    parts[0][0].level.close()


def test_the_file_of_another_reader_is_not_replaced(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, noise())
    viewer = ViewerModel()
    layer = Image(noise())
    layer._source = layer.source.model_copy(update={"path": str(path)})
    viewer.add_layer(layer)
    source = layers_to_export([layer]).source
    assert source.uri == str(path)
    with pytest.raises(ArgumentError, match="pixels come from"):
        export_region(source, path, region=(0, 0, 5, 5), overwrite=True)
    layer._source = layer.source.model_copy(update={"path": str(tmp_path)})
    assert layers_to_export([layer]).source.uri is None


@pytest.mark.parametrize("n_axes", [2, 3])
@pytest.mark.parametrize("level", [0, 1])
def test_outlines_are_on_edges_of_pixels(n_axes, level):
    shape = (5, 60, 80)[-n_axes:]
    coarse = tuple(-(-n // 2) for n in shape)
    layer = Image([noise(shape), noise(coarse)], multiscale=True, scale=[2.0] * n_axes)
    export = layers_to_export([layer])
    region = pixel_region(export.source, [0] * n_axes, [2] * n_axes)
    ring = export_outline(export, region, level)
    # the edge of the first pixel is half a pixel, of 2 units, before its centre
    assert ring[:, -2:].min() == -1.0
    assert ring[:, -2:].max() == 3.0
    assert image_matrix(2)[0, -1] == 0.5


# Shapes


def regions_of(data, **facts):
    viewer = ViewerModel()
    export = layers_to_export([viewer.add_image(noise())])
    shapes = viewer.add_shapes(data, **facts)
    return shape_regions(export, drawn_shapes(shapes), view_state(viewer))


SQUARE = np.array([(9.5, 9.5), (9.5, 19.5), (19.5, 19.5), (19.5, 9.5)])


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (pd.array(["a", pd.NA], dtype="string"), ["a", "1"]),
        (pd.array([7, pd.NA], dtype="Int64"), ["7", "1"]),
        (pd.array([1.5, np.nan]), ["1.5", "1"]),
        (pd.Categorical([None, "b"]), ["0", "b"]),
        (pd.to_datetime(["2020-01-02", None]), ["2020-01-02 00:00:00", "1"]),
    ],
)
def test_missing_labels_of_any_kind_become_numbers(values, names):
    features = pd.DataFrame({"label": values})
    regions = regions_of([SQUARE, SQUARE + 10], features=features)
    assert [region.name for region in regions] == names


@pytest.mark.parametrize(
    ("points", "width", "match"),
    [
        ([(5, 5), (5, 5), (5, 5)], 3, "corners are the same. Draw it longer"),
        ([(5, 5), (9, 9), (5, 5)], 0, "edge width is 0. Give it an edge width"),
    ],
)
def test_paths_without_an_area_say_why(points, width, match):
    with pytest.raises(RegionError, match=match):
        regions_of([np.array(points, float)], shape_type="path", edge_width=width)


# The command


def settings(tmp_path, **changes):
    return ExportSettings(folder=str(tmp_path), **changes)


@pytest.mark.parametrize("taken", [".npy", ".npy.part", ".npy.json", "link"])
def test_the_command_takes_a_name_that_is_free(tmp_path, taken):
    if taken == "link":
        (tmp_path / "im_view.npy").symlink_to(tmp_path / "nothing")
    else:
        (tmp_path / f"im_view{taken}").touch()
    found = command._free_path(settings(tmp_path, format="npy"), "im")
    assert found == tmp_path / "im_view_2.npy"


@pytest.mark.parametrize("name", ["漢" * 200, "x" * 500, "a\udc80/b"])
def test_the_command_takes_a_name_that_fits(tmp_path, name):
    found = command._free_path(settings(tmp_path), name)
    assert len(found.name.encode()) < 200
    assert found.parent == tmp_path


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_outlines_of_labels_are_drawn_in_the_plane_that_is_shown(tmp_path, order):
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[3:9, 3:9, 3:9] = 1
    viewer = ViewerModel()
    layer = viewer.add_labels(labels)
    layer.contour = 1
    viewer.dims.order = order
    viewer.dims.current_step = (6, 6, 6)
    viewer.canvas.size = (600, 600)
    viewer.reset_view()
    plan = command.plan_view_export(
        viewer, settings(tmp_path, as_displayed=True, format="npy")
    )
    pixels = np.asarray(
        plan.export.source.levels[0][tuple(slice(0, n) for n in (12, 12, 12, 3))]
    )
    shown = np.take(pixels, 6, axis=order[0]).any(axis=-1)
    ring = np.zeros((12, 12), bool)
    ring[3:9, 3:9] = True
    ring[4:8, 4:8] = False
    assert np.array_equal(shown, ring)


def test_colours_are_on_the_colour_of_the_canvas(tmp_path):
    viewer = ViewerModel()
    viewer.add_labels(np.zeros((12, 12), np.uint8))
    viewer.canvas.background_color_override = (1, 0, 0, 1)
    plan = command.plan_view_export(
        viewer, settings(tmp_path, as_displayed=True, format="npy")
    )
    box = tuple(slice(0, n) for n in (1, 1, 3))
    assert plan.export.source.levels[0][box].tolist() == [[[255, 0, 0]]]
