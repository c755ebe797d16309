"""Regions, colours, new layers and files of layers with many axes."""

from __future__ import annotations

import json
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_msimage.engines import export_region
from napari_msimage.errors import RegionError
from napari_msimage.plugin import _export_command as command
from napari_msimage.plugin._export_displayed import displayed_source
from napari_msimage.plugin._export_layer import layers_to_export
from napari_msimage.plugin._export_new_layer import region_layers
from napari_msimage.plugin._export_preview import preview_export, take_snapshot
from napari_msimage.plugin._export_settings import (
    NEW_LAYER,
    ExportSettings,
    keep_layer_settings,
)
from napari_msimage.plugin._export_wish import ExportWish
from napari_msimage.plugin._region_frame import view_state
from napari_msimage.plugin._region_shapes import drawn_shapes, shape_regions
from napari_msimage.plugin._region_typed import pixel_region, whole_region
from napari_msimage.plugin._region_view import view_region

from .many_axes import (
    TZYX,
    OneByOne,
    as_dask,
    as_zarr,
    numbered,
    pixels_of,
    viewer_with,
)

# Everything else is as for 3-D images


def test_planes_of_the_time():
    layer = Image(numbered(TZYX))
    viewer = viewer_with(layer, step=(3, 2, 0, 0))
    view = view_state(viewer)
    export = layers_to_export([layer], view=view)
    for planes, z in (
        ("current", slice(2, 3)),
        ("all", slice(4)),
        ((1, 3), slice(1, 3)),
    ):
        region = view_region(export, view, planes=planes)
        assert np.array_equal(pixels_of(export, region), layer.data[3, z])


def test_what_is_displayed():
    layer = Image(numbered(TZYX, np.uint8), contrast_limits=(0, 255))
    labels = Labels(np.tile(numbered((4, 13, 17)) % 3, (5, 1, 1, 1)), opacity=1)
    labels.contour = 1
    viewer = viewer_with(layer, labels, step=(3, 2, 0, 0))
    view = view_state(viewer)
    export = displayed_source([layer], view=view)
    note = "Taken where the sliders are: axis 0 at 3 (of 0 to 4)."
    assert export.notes == (note,)
    pixels = np.asarray(export.source.levels[0][:4, :13, :17, :3])
    assert np.array_equal(pixels[..., 0], layer.data[3])
    both = displayed_source([layer, labels], view=view)
    assert both.source.shape(0) == (4, 13, 17, 3)
    assert np.asarray(both.source.levels[0][:4, :13, :17, :3]).any()


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 1, 0, 3), (3, 0, 2, 1)])
def test_outlines_of_labels_are_drawn_in_the_plane_on_the_canvas(order):
    data = np.zeros((12, 12, 12, 12), np.uint8)
    data[3:9, 3:9, 3:9, 3:9] = 1
    layer = Labels(data)
    layer.contour = 1
    viewer = viewer_with(layer, order=order, step=(6, 6, 6, 6))
    view = view_state(viewer)
    export = displayed_source([layer], view=view)
    region = view_region(export, view)
    shown = pixels_of(export, region).any(axis=-1).squeeze()
    ring = np.zeros((12, 12), bool)
    ring[3:9, 3:9] = True
    ring[4:8, 4:8] = False
    assert np.array_equal(shown, ring)


@pytest.mark.parametrize("kind", [np.asarray, as_dask, as_zarr])
@pytest.mark.parametrize("channel_axis", [None, 1])
def test_new_layers_lie_at_that_point(kind, channel_axis):
    shape = (9, 4, 13, 17) if channel_axis is None else (9, 3, 4, 13, 17)
    coarse = (4, *shape[1:-2], 7, 9)
    levels = [numbered(shape), numbered(coarse)]
    n_axes = len(shape)
    layer = Image(
        [levels[0], levels[1]],
        multiscale=True,
        scale=(10, *[2.0] * (n_axes - 1)),
        translate=[100] * n_axes,
        name="movie",
    )
    viewer = viewer_with(layer, step=(5, *[1] * (n_axes - 1)))
    view = view_state(viewer)
    export = layers_to_export([layer], view=view, channel_axis=channel_axis)
    region = view_region(export, view)
    for level, time in enumerate((5, 2)):
        (parts,) = region_layers(export, region, level, [layer])
        made = Image(parts[0], **parts[1])
        key = [slice(None)] * n_axes
        key[0], key[-3] = slice(time, time + 1), slice(1, 2)
        assert np.array_equal(made.data[0], levels[level][tuple(key)])
        factors = np.divide(shape, levels[level].shape)
        first = np.array([time, *[0] * (n_axes - 1)])
        first[-3] = 1
        expected = layer.data_to_world((first + 0.5) * factors - 0.5)
        assert np.allclose(made.data_to_world([0] * n_axes), expected)


def test_new_layers_of_new_layers_read_nothing_either():
    pixels = numbered(TZYX)
    given = OneByOne(pixels)
    parts = (given, {"multiscale": False, "rgb": False, "name": "a"}, "image")
    viewer = viewer_with(Image(pixels), step=(3, 2, 0, 0))
    for _ in range(2):
        export = layers_to_export([parts], view=view_state(viewer))
        region = pixel_region(export.source, (0, 0, 0), (2, 9, 9))
        (parts,) = region_layers(export, region, 0, [parts])
    assert not given.keys
    assert np.array_equal(np.asarray(parts[0][0]), pixels[3:4, :2, :9, :9])


SQUARE = np.array([(2, 3), (2, 9), (8, 9), (8, 3)])


def drawn_at(viewer, time, z):
    corners = np.insert(SQUARE, 0, z, axis=1)
    shapes = viewer.add_shapes([np.insert(corners, 0, time, axis=1)], name="drawn")
    return drawn_shapes(shapes)


def test_shapes_of_that_time():
    layer = Image(numbered(TZYX))
    viewer = viewer_with(layer)
    shapes = drawn_at(viewer, 3, 1)
    viewer.dims.current_step = (3, 2, 0, 0)
    view = view_state(viewer)
    export = layers_to_export([layer], view=view)
    (region,) = shape_regions(export, shapes, view)
    expected = layer.data[3, 1:2, 2:9, 3:10]
    assert np.array_equal(pixels_of(export, region), expected)
    flat = drawn_shapes(viewer.add_shapes([SQUARE]))
    (region,) = shape_regions(export, flat, view)
    expected = layer.data[3, 2:3, 2:9, 3:10]
    assert np.array_equal(pixels_of(export, region), expected)


def test_shapes_of_another_time_are_refused_unless_planes_are_chosen():
    layer = Image(numbered(TZYX), axis_labels=("t", "z", "y", "x"))
    viewer = viewer_with(layer)
    shapes = drawn_at(viewer, 1, 1)
    viewer.dims.current_step = (3, 2, 0, 0)
    view = view_state(viewer)
    export = layers_to_export([layer], view=view)
    with pytest.raises(
        RegionError,
        match=r"'drawn' lies at 1 along axis t; the slider is at 3.*Move the",
    ):
        shape_regions(export, shapes, view)
    (region,) = shape_regions(export, shapes, view, planes="current")
    assert np.array_equal(pixels_of(export, region), layer.data[3, 2:3, 2:9, 3:10])


def test_the_plan_says_what_is_taken(tmp_path):
    layer = Image(numbered(TZYX), axis_labels=("t", "z", "y", "x"))
    viewer = viewer_with(layer, step=(3, 2, 0, 0))
    note = "Taken where the sliders are: axis t at 3 (of 0 to 4)."
    for target in ("npy", NEW_LAYER):
        wish = ExportWish(format=target, destination=str(tmp_path / "a.npy"))
        preview = preview_export(take_snapshot(viewer, [layer], None, wish))
        assert preview.error is None
        assert preview.can_run
        assert preview.notes[0].startswith(note)
    wish = ExportWish(
        is_displayed=True, format="npy", destination=str(tmp_path / "a.npy")
    )
    preview = preview_export(take_snapshot(viewer, [layer], None, wish))
    assert preview.notes[0] == note
    assert preview.plan.files[0].shape == (1, 13, 17, 3)


def test_the_command_exports_it(tmp_path):
    layer = Image(numbered((3, 2, *TZYX[1:])))
    viewer = viewer_with(layer, step=(2, 1, 3, 0, 0))
    for axis, displayed in ((None, False), (1, False), (None, True)):
        keep_layer_settings([layer], axis, None)
        options = ExportSettings(
            folder=str(tmp_path), format="npy", as_displayed=displayed
        )
        what = command.plan_view_export(viewer, options)
        path = export_region(what.export.source, what.destination, region=what.region)
        expected = layer.data[2, :, 3:4] if axis else layer.data[2, 1, 3:4]
        shape = (*expected.shape, 3) if displayed else expected.shape
        found = np.load(path[0])
        assert found.shape == shape
        assert displayed or np.array_equal(found, expected)
        with open(f"{what.destination}.json") as file:
            assert json.load(file)["image"] == "Image"


# Any layer


@st.composite
def scenes(draw):
    n_axes = draw(st.integers(4, 6))
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=n_axes, max_size=n_axes)))
    scale = draw(
        st.lists(
            st.sampled_from([-2.0, 0.1, 0.5, 1.0, 3.0]),
            min_size=n_axes,
            max_size=n_axes,
        )
    )
    translate = draw(st.lists(st.floats(-50, 50), min_size=n_axes, max_size=n_axes))
    order = tuple(draw(st.permutations(range(n_axes))))
    steps = draw(st.tuples(*(st.floats(-0.49, size - 0.51) for size in shape)))
    extra = draw(st.integers(0, 1))
    return shape, scale, translate, order, steps, extra


@given(scenes())
@settings(max_examples=100, deadline=None)
def test_exported_pixels_are_those_that_napari_draws(scene):
    shape, scale, translate, order, steps, extra = scene
    layer = Image(
        numbered(shape), scale=scale, translate=translate, rgb=False, name="any"
    )
    viewer = ViewerModel()
    viewer.add_layer(layer)
    if extra:  # the layer has not all axes of the viewer
        viewer.add_layer(Image(np.zeros([2] * (len(shape) + 1))))
        order = (0, *(axis + 1 for axis in order))
    viewer.dims.order = order
    viewer.dims.point = [0] * extra + list(layer.data_to_world(steps))
    viewer.canvas.size = (400, 400)
    viewer.reset_view()
    viewer.scene.camera.zoom /= 4
    view = view_state(viewer)
    export = layers_to_export([layer], view=view)
    region = view_region(export, view)
    pixels = pixels_of(export, region)

    axes = [axis - extra for axis in order if axis >= extra]
    index = np.rint(layer.world_to_data(viewer.dims.point)).astype(int)
    key = tuple(
        slice(None) if axis in axes[-2:] else slice(i, i + 1)
        for axis, i in enumerate(index[-len(shape) :])
    )
    taken = tuple(set(range(len(shape))) - set(export.axes))
    assert np.array_equal(pixels, layer.data[key].squeeze(taken))
    drawn = np.asarray(layer._slice.image.raw)
    if axes[-2] > axes[-1]:
        drawn = drawn.T
    assert np.array_equal(pixels.ravel(), drawn.ravel())


@given(scenes(), st.integers(0, 2), st.booleans(), st.data())
@settings(max_examples=25, deadline=None)
def test_files_hold_the_slice_of_the_array(scene, level, has_channels, data):
    shape, scale, translate, order, steps, _ = scene
    shapes = [shape]
    for _ in range(2):
        shapes.append(tuple(-(-n // 2) for n in shapes[-1]))
    channel_axis = None
    if has_channels:
        channel_axis = data.draw(st.sampled_from(sorted(order[:-2])))
        shapes = [
            (*s[:channel_axis], shape[channel_axis], *s[channel_axis + 1 :])
            for s in shapes
        ]
    levels = [numbered(s) for s in shapes]
    parts = (
        levels,
        {"multiscale": True, "rgb": False, "scale": scale, "translate": translate},
        "image",
    )
    plain = Image(levels[0], scale=scale, translate=translate, rgb=False)
    viewer = ViewerModel()
    viewer.add_layer(plain)
    viewer.dims.order = order
    viewer.dims.point = plain.data_to_world(steps)
    view = view_state(viewer)
    export = layers_to_export([parts], view=view, channel_axis=channel_axis)
    index = np.rint(plain.world_to_data(viewer.dims.point)).astype(int)
    key = tuple(
        slice(None)
        if axis in (*export.axes, channel_axis)
        else int((2 * i + 1) * small // (2 * n))
        for axis, (i, small, n) in enumerate(
            zip(index, shapes[level], shape, strict=True)
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        (path, *_) = export_region(
            export.source,
            f"{folder}/a.npy",
            region=whole_region(export.source),
            level=level,
        )
        assert np.array_equal(np.load(path), levels[level][key])
