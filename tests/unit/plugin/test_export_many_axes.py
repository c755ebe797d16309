"""Exports of layers with more axes than an export holds: the sliders choose."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import zarr
from napari.layers import Image, Labels

from napari_msimage.engines import export_region
from napari_msimage.errors import ArgumentError, RegionError, UnsupportedError
from napari_msimage.plugin._export_layer import layers_to_export
from napari_msimage.plugin._export_new_layer import region_layers
from napari_msimage.plugin._layer_source import read_source
from napari_msimage.plugin._region_frame import view_state
from napari_msimage.plugin._region_typed import pixel_region, whole_region
from napari_msimage.plugin._region_view import view_region

from .many_axes import (
    TZYX,
    OneByOne,
    Untouchable,
    as_dask,
    as_zarr,
    numbered,
    pixels_of,
    viewer_with,
    whole,
)

# What is taken


def test_time_is_taken_where_the_slider_is():
    layer = Image(numbered(TZYX), name="movie", axis_labels=("t", "z", "y", "x"))
    viewer = viewer_with(layer, step=(3, 1, 0, 0))
    export = layers_to_export([layer], view=view_state(viewer))
    assert export.source.axis_names == ("z", "y", "x")
    assert (export.axes, export.n_axes) == ((1, 2, 3), 4)
    assert np.array_equal(whole(layer, viewer), layer.data[3])
    assert dict(export.source.taken) == {"t": 3}
    (note,) = export.notes
    assert note.startswith("Taken where the sliders are: axis t at 3 (of 0 to 4). If")
    assert "holds channels, choose it under Channel axis." in note


def test_axes_without_names_are_numbered_in_notes():
    layer = Labels(numbered((3, 1, 2, *TZYX[1:])))
    viewer = viewer_with(layer, step=(2, 0, 1, 0, 0, 0))
    export = layers_to_export([layer], view=view_state(viewer))
    assert export.source.axis_names == ("z", "y", "x")
    # there is nothing to choose along axis 1
    assert export.notes == (
        "Taken where the sliders are: axis 0 at 2 (of 0 to 2), axis 2 at 1 (of 0 to "
        "1).",
    )
    assert np.array_equal(whole(layer, viewer), layer.data[2, 0, 1])


@pytest.mark.parametrize("ndisplay", [2, 3])
def test_layers_of_few_axes_are_as_before(ndisplay):
    layer = Image(numbered(TZYX[1:]))
    viewer = viewer_with(layer)
    viewer.dims.ndisplay = ndisplay
    export = layers_to_export([layer], view=view_state(viewer))
    assert export.notes == ()
    assert export.source.levels[0] is layer.data


@pytest.mark.parametrize("ndisplay", [2, 3])
@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_axes_on_the_canvas_are_kept_and_the_last_of_the_others(order, ndisplay):
    layer = Image(numbered(TZYX))
    viewer = viewer_with(layer, order=order, step=(2, 3, 5, 7))
    viewer.dims.ndisplay = ndisplay
    hidden = sorted(order[:-ndisplay])
    export = layers_to_export([layer], view=view_state(viewer))
    assert set(order[-ndisplay:]) <= set(export.axes)
    assert set(range(4)) - set(export.axes) == {hidden[0]}
    expected = np.take(layer.data, (2, 3, 5, 7)[hidden[0]], axis=hidden[0])
    assert np.array_equal(whole(layer, viewer), expected)


@pytest.mark.parametrize(
    ("axis", "time", "z", "names"),
    [
        (0, 1, 2, ("soma_channel", "z", "y", "x")),
        (1, 0, 2, ("soma_channel", "z", "y", "x")),
        (2, 0, 1, ("z", "soma_channel", "y", "x")),
    ],
)
def test_one_axis_may_be_channels(axis, time, z, names):
    shape = [0, 0, 0, 13, 17]
    shape[axis], shape[time], shape[z] = 3, 5, 4
    step = [0] * 5
    step[time], step[z] = 2, 1
    layer = Image(numbered(shape))
    viewer = viewer_with(layer, step=step)
    view = view_state(viewer)
    export = layers_to_export([layer], view=view, channel_axis=axis)
    assert export.source.axis_names == names
    assert export.axes == (z, 3, 4)
    expected = layer.data.take(2, axis=time)
    assert np.array_equal(whole(layer, viewer, channel_axis=axis), expected)
    assert np.array_equal(whole(layer, viewer, channel_axis=axis - 5), expected)
    expected = layer.data.take([1], axis=z).take(2, axis=time)
    assert np.array_equal(pixels_of(export, view_region(export, view)), expected)


def test_labels_and_colours():
    labels = Labels(numbered(TZYX))
    viewer = viewer_with(labels, step=(4, 0, 0, 0))
    export = layers_to_export([labels], view=view_state(viewer))
    assert export.source.is_labels
    assert np.array_equal(whole(labels, viewer), labels.data[4])
    colours = Image(numbered((*TZYX, 3), np.uint8), rgb=True)
    viewer = viewer_with(colours, step=(1, 0, 0, 0))
    export = layers_to_export([colours], view=view_state(viewer))
    assert export.source.is_rgb
    assert np.array_equal(whole(colours, viewer), colours.data[1])


def test_channels_in_several_layers():
    layers = [Image(numbered(TZYX) + i, name=str(i)) for i in range(2)]
    viewer = viewer_with(*layers, step=(3, 0, 0, 0))
    export = layers_to_export(layers, view=view_state(viewer))
    assert export.source.axis_names == ("soma_channel", "z", "y", "x")
    pixels = pixels_of(export, whole_region(export.source))
    assert np.array_equal(pixels, [layer.data[3] for layer in layers])
    layers[1].scale = (2, 1, 1, 1)  # another time at the same point
    with pytest.raises(ArgumentError, match="'1' lies elsewhere"):
        layers_to_export(layers, view=view_state(viewer))


def test_each_level_has_its_own_pixel():
    shapes = [(9, 4, 13, 17), (9, 2, 7, 9), (4, 2, 4, 5)]
    levels = [numbered(shape) for shape in shapes]
    layer = Image(levels, multiscale=True)
    for time in range(9):
        viewer = viewer_with(layer, step=(time, 0, 0, 0))
        coarse = int((time + 0.5) * 4 / 9)  # the pixel over the centre
        for level, index in enumerate((time, time, coarse)):
            assert np.array_equal(whole(layer, viewer, level), levels[level][index])


def test_where_it_lies_in_the_world_is_kept():
    layer = Image(
        numbered(TZYX),
        scale=(10, 2, 0.5, 0.25),
        translate=(100, -3, 5, 7),
        rotate=30,
        units=("s", "um", "um", "um"),
    )
    viewer = viewer_with(layer)
    viewer.dims.set_point(0, 130)
    export = layers_to_export([layer], view=view_state(viewer))
    assert export.source.units == ("micrometer",) * 3
    index = (3, 1, 2, 5)
    placed = export.source.to_world @ [1.5, 2.5, 5.5, 1]
    assert np.allclose(placed[:3], layer.data_to_world(index)[1:])
    assert np.array_equal(whole(layer, viewer), layer.data[3])


def test_viewers_in_other_units():
    layers = [
        Image(numbered(TZYX), scale=(500, 1, 1, 1), units=("ms", "um", "um", "um")),
        Image(numbered(TZYX), units=("s", "um", "um", "um")),
    ]
    viewer = viewer_with(*layers)
    state = view_state(viewer)
    second = 1 if state.units[0] == "second" else 1000
    viewer.dims.set_point(0, 2 * second)
    assert np.array_equal(whole(layers[0], viewer), layers[0].data[4])
    assert np.array_equal(whole(layers[1], viewer), layers[1].data[2])


# Refused


def test_axes_that_are_coupled_are_refused():
    affine = np.eye(5)
    affine[0, 3] = 0.1
    layer = Image(numbered(TZYX), name="drift", affine=affine)
    viewer = viewer_with(layer)
    with pytest.raises(
        UnsupportedError, match=r"'drift' is turned or sheared along axis 0.*Display"
    ):
        layers_to_export([layer], view=view_state(viewer))


def test_sliders_beyond_the_layer_are_refused():
    layer = Image(numbered(TZYX), name="short", axis_labels=("t", "z", "y", "x"))
    viewer = viewer_with(layer, Image(np.zeros((9, 4, 13, 17))), step=(7, 0, 0, 0))
    with pytest.raises(
        RegionError, match=r"'short' has 0 to 4 along axis t; the slider is at 7. Move"
    ):
        layers_to_export([layer], view=view_state(viewer))


def test_without_a_viewer_there_is_no_point():
    with pytest.raises(UnsupportedError, match=r"has the shape \(5, 4, 13, 17\)"):
        layers_to_export([Image(numbered(TZYX))])


@pytest.mark.parametrize("axis", [7, -6, True])
def test_a_channel_axis_that_is_none_is_refused(axis):
    layer = Image(numbered((2, *TZYX)))
    viewer = viewer_with(layer)
    with pytest.raises(ArgumentError, match=f"axis {axis} cannot be its channel axis"):
        layers_to_export([layer], view=view_state(viewer), channel_axis=axis)


def test_labels_have_no_channel_axis():
    layer = Labels(numbered(TZYX))
    viewer = viewer_with(layer, step=(3, 0, 0, 0))
    assert np.array_equal(whole(layer, viewer, channel_axis=0), layer.data[3])


def test_channels_on_the_canvas_are_refused():
    layer = Image(numbered(TZYX))
    viewer = viewer_with(layer, order=(1, 2, 0, 3))
    export = layers_to_export([layer], view=view_state(viewer), channel_axis=0)
    with pytest.raises(ArgumentError, match="channels along one of the axes"):
        view_region(export, view_state(viewer))


def test_five_axes_are_not_saved_as_four():
    with pytest.raises(UnsupportedError, match=r"has 4 axes \(axis 0, z, y, x\)"):
        read_source(np.zeros((2, 3, 4, 5, 6)), {}, "image", channel_axis=1)


# Lazy


def test_nothing_is_read_to_plan():
    levels = [Untouchable((99, 4, 40_000, 30_000)), Untouchable((99, 4, 10_000, 7_500))]
    parts = (levels, {"multiscale": True, "rgb": False, "name": "big"}, "image")
    viewer = viewer_with(Image(np.zeros((99, 4, 13, 17), np.uint8)))
    export = layers_to_export([parts], view=view_state(viewer))
    assert export.shapes == ((4, 40_000, 30_000), (4, 10_000, 7_500))
    region = pixel_region(export.source, (0, 0, 0), (2, 900, 900))
    (made,) = region_layers(export, region, 1, [parts])
    assert made[0][0].shape == (1, 2, 225, 225)


@pytest.mark.parametrize("kind", [np.asarray, as_dask, as_zarr, OneByOne])
def test_arrays_of_any_kind(kind, tmp_path):
    pixels = numbered((5, 4, 130, 170))
    given = kind(pixels)
    viewer = viewer_with(Image(pixels), step=(3, 2, 0, 0))
    parts = (given, {"multiscale": False, "rgb": False}, "image")
    export = layers_to_export([parts], view=view_state(viewer))
    region = pixel_region(export.source, (1, 10, 20), (3, 120, 150))
    path = export_region(export.source, tmp_path / "a.npy", region=region)[0]
    assert np.array_equal(np.load(path), pixels[3, 1:3, 10:120, 20:150])
    level = export.source.levels[0]
    if kind in (as_dask, as_zarr):
        assert len(level.chunks) == 3
    if kind is OneByOne:  # only the point in time
        assert given.keys
        assert all(key[0] == slice(3, 4) for key in given.keys)


def test_the_image_itself_is_not_replaced(tmp_path):
    store = zarr.open(
        str(tmp_path / "a.zarr"),
        mode="w",
        shape=TZYX,
        chunks=(1, 4, 13, 17),
        dtype="u1",
    )
    viewer = viewer_with(Image(np.zeros(TZYX)))
    parts = (store, {"multiscale": False, "rgb": False}, "image")
    source = layers_to_export([parts], view=view_state(viewer)).source
    with pytest.raises(ArgumentError, match="pixels come from"):
        export_region(source, tmp_path / "a.zarr", overwrite=True)
