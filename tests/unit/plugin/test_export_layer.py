"""Layers as sources of an export, and regions of them as new layers."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points
from napari.utils.colormaps import Colormap

from napari_msimage.engines import ImageRegion
from napari_msimage.errors import (
    ArgumentError,
    ArgumentTypeError,
    LevelIndexError,
    UnsupportedError,
)
from napari_msimage.plugin._export_layer import layers_to_export
from napari_msimage.plugin._export_new_layer import CroppedPixels, region_layers
from napari_msimage.plugin._region_typed import whole_region

YX = np.arange(97 * 130, dtype=np.uint16).reshape(97, 130)


class Lazy:
    """An array-like that counts the pixels that are read; reads when indexed."""

    def __init__(self, array):
        self.array, self.n_read = array, 0
        self.shape, self.dtype = array.shape, array.dtype
        self.ndim, self.size = array.ndim, array.size

    def __getitem__(self, key):
        part = self.array[key]
        self.n_read += part.size
        return part


class Untouchable(Lazy):
    """An array-like whose pixels nobody may ask for."""

    def __getitem__(self, key):
        raise AssertionError("a pixel was read")

    __array__ = __getitem__


def untouchable_layer(shapes, **attributes):
    levels = [Untouchable(np.broadcast_to(np.uint8(0), shape)) for shape in shapes]
    return levels, {"multiscale": True, "name": "big", **attributes}, "image"


# Sources


def test_nothing_is_read():
    layer = untouchable_layer([(40_000, 30_000), (10_000, 7_500)])
    source = layers_to_export([layer]).source
    assert [level.shape for level in source.levels] == [
        (40_000, 30_000),
        (10_000, 7_500),
    ]


def test_place_units_and_names():
    layer = Image(YX, name="a", scale=(2, 3), translate=(5, 7), units="um")
    export = layers_to_export([layer])
    source = export.source
    assert (source.name, source.axis_names) == ("a", ("y", "x"))
    assert source.units == ("micrometer", "micrometer")
    assert source.to_world.tolist() == [[2, 0, 4], [0, 3, 5.5], [0, 0, 1]]
    assert not source.is_rgb
    assert not source.is_labels
    assert layers_to_export([Image(YX)]).source.units == (None, None)


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
@given(st.lists(st.floats(-3, 3), min_size=12, max_size=12))
@settings(max_examples=50, deadline=None)
def test_image_coordinates_lie_where_napari_puts_them(values):
    affine = np.eye(4)
    affine[:3] = np.reshape(values, (3, 4))
    if abs(np.linalg.det(affine)) < 0.05:
        return
    layer = Image(np.zeros((3, 4, 5)), affine=affine, scale=(2, 1, 0.5), rotate=30)
    source = layers_to_export([layer]).source
    image = np.array([0.25, 3.5, 1.0])
    expected = layer.data_to_world(image - 0.5)
    assert np.allclose((source.to_world @ [*image, 1])[:3], expected)


def test_rgb():
    source = layers_to_export([Image(np.zeros((97, 130, 3), np.uint8))]).source
    assert source.is_rgb
    assert source.axis_names == ("y", "x", "soma_channel")
    assert source.channel_names == ("red", "green", "blue")
    assert source.channel_colors is None


def test_labels():
    source = layers_to_export([Labels(np.zeros((9, 97, 130), int))]).source
    assert source.is_labels
    assert source.axis_names == ("z", "y", "x")
    assert source.channel_names is None


def test_channels_of_several_layers():
    entry = {"image_name": "tissue", "uri": "/a", "image_id": "1", "channel": 0}
    metadata = {"napari_msimage": entry}
    layers = [
        Image(YX, name="tissue DAPI", colormap="blue", metadata=metadata),
        Image(YX + 1, name="tissue CD3", colormap="viridis", metadata=metadata),
    ]
    source = layers_to_export(layers).source
    assert (source.name, source.uri) == ("tissue", "/a")
    assert source.axis_names == ("soma_channel", "y", "x")
    assert source.channel_names == ("DAPI", "CD3")
    assert source.channel_colors == ((0, 0, 1), (1, 1, 1))
    pixels = source.levels[0][(slice(0, 2), slice(3, 5), slice(7, 9))]
    assert np.array_equal(pixels, [YX[3:5, 7:9], YX[3:5, 7:9] + 1])


@pytest.mark.parametrize(
    ("colormap", "color"),
    [
        ("red", (1, 0, 0)),
        ("gray", (1, 1, 1)),
        ("gray_r", (1, 1, 1)),
        ("magma", (1, 1, 1)),
        (Colormap([[0, 0, 0], [0.5, 0.25, 0]]), (0.5, 0.25, 0)),
    ],
    ids=["red", "gray", "reversed", "magma", "own"],
)
def test_colours_of_channels(colormap, color):
    source = layers_to_export([Image(YX, colormap=colormap)]).source
    assert source.channel_colors == (pytest.approx(color, abs=1e-6),)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (Image(YX[:50]), "levels of the shapes"),
        (Image(YX.astype(float)), "float64 pixels"),
        (Image(YX, scale=(2, 2)), "lies elsewhere"),
        (Labels(YX), "labels or several channels"),
    ],
    ids=["shape", "type", "place", "labels"],
)
def test_layers_that_are_not_channels_are_refused(other, what):
    with pytest.raises(ArgumentError, match=rf"{what}.*one by one"):
        layers_to_export([Image(YX), other])


def test_time_is_refused():
    layer = Image(np.zeros((4, 5, 97, 130), np.uint8), name="movie")
    with pytest.raises(
        UnsupportedError, match=r"'movie' has the shape \(4, 5, 97, 130\).*2 or 3 spat"
    ):
        layers_to_export([layer])
    export = layers_to_export([layer], channel_axis=0)
    assert export.source.axis_names == ("soma_channel", "z", "y", "x")
    assert export.axes == (1, 2, 3)


def test_other_layers_are_refused():
    with pytest.raises(ArgumentError, match="of type points"):
        layers_to_export([Points([(1, 2)])])
    with pytest.raises(ArgumentError, match="No layer is given"):
        layers_to_export([])
    with pytest.raises(ArgumentTypeError, match="complex128"):
        layers_to_export([(YX.astype(complex), {}, "image")])


# New layers

SHAPES = [(97, 130), (57, 76), (31, 42)]


def pyramid():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, shape, dtype=np.uint8) for shape in SHAPES]


def new_layer(layer, lower, upper, level, name=""):
    export = layers_to_export([layer])
    region = ImageRegion(lower, upper, name)
    (parts,) = region_layers(export, region, level, [layer])
    return ViewerModel().add_layer(type(layer)(parts[0], **parts[1])), parts


@pytest.mark.parametrize("level", [0, 1, 2])
def test_new_layers_show_the_same_pixels_in_the_same_place(level):
    levels = pyramid()
    layer = Image(
        levels,
        multiscale=True,
        name="tissue",
        scale=(2, 3),
        rotate=30,
        shear=[0.2],
        translate=(100, -50),
        colormap="magma",
        contrast_limits=(3, 77),
        gamma=0.5,
        units="um",
    )
    made, _ = new_layer(layer, (20.0, 33.3), (61.2, 90.0), level, "a")
    factors = np.divide(SHAPES[0], SHAPES[level])
    start = np.floor(np.array((20.0, 33.3)) / factors).astype(int)
    stop = np.ceil(np.array((61.2, 90.0)) / factors).astype(int)
    expected = levels[level][start[0] : stop[0], start[1] : stop[1]]
    assert np.array_equal(made.data[0], expected)
    for index in ((0, 0), (3, 5)):
        old = (start + index + 0.5) * factors - 0.5
        assert np.allclose(made.data_to_world(index), layer.data_to_world(old))
    assert made.name == "tissue a"
    assert (made.colormap.name, made.gamma) == ("magma", 0.5)
    assert made.contrast_limits == [3, 77]
    assert made.units == layer.units


def test_nothing_is_copied():
    levels = pyramid()
    _, (data, *_) = new_layer(
        Image(levels, multiscale=True), (10.0, 10.0), (50.0, 60.0), 0
    )
    assert np.shares_memory(data[0], levels[0])


def test_labels_stay_labels():
    labels = Labels(np.repeat(np.arange(97), 130).reshape(97, 130))
    made, (_, attributes, kind) = new_layer(labels, (10.0, 10.0), (50.0, 60.0), 0)
    assert kind == "labels"
    assert made.data[0][3, 2] == 13
    assert "contrast_limits" not in attributes


def test_colours_and_dask_and_arrays_that_read_at_once():
    rgb = np.random.default_rng(0).integers(0, 255, (97, 130, 3), dtype=np.uint8)
    made, _ = new_layer(Image(rgb), (10.0, 20.0), (50.0, 60.0), 0)
    assert made.rgb
    assert np.array_equal(made.data[0], rgb[10:50, 20:60])
    chunked = Image(da.from_array(YX, chunks=32))
    _, (data, *_) = new_layer(chunked, (10.0, 20.0), (50.0, 60.0), 0)
    assert isinstance(data[0], da.Array)
    lazy = Lazy(YX)
    export = layers_to_export([(lazy, {"name": "a"}, "image")])
    region = ImageRegion((10.0, 20.0), (50.0, 60.0))
    ((data, *_),) = region_layers(export, region, 0, [(lazy, {"name": "a"}, "image")])
    assert lazy.n_read == 0
    assert np.array_equal(data[0][2:4, 5], YX[12:14, 25])
    assert lazy.n_read == 2


def test_our_entry_is_not_copied():
    metadata = {"mine": 1, "napari_msimage": {"uri": "/a", "image_name": "a"}}
    _, (_, attributes, _) = new_layer(
        Image(YX, metadata=metadata), (1.0, 1.0), (9.0, 9.0), 0
    )
    assert attributes["metadata"] == {"mine": 1}


def test_levels_that_are_not_there():
    layer = Image(YX)
    export = layers_to_export([layer])
    with pytest.raises(LevelIndexError, match="levels 0 to 0"):
        region_layers(export, whole_region(export.source), 1, [layer])


indices = st.one_of(
    st.integers(-4, 3),
    st.slices(4),
    st.just(slice(None)),
)


@given(st.lists(indices, max_size=3), st.booleans())
@settings(max_examples=200, deadline=None)
def test_crops_are_indexed_like_numpy(key, has_ellipsis):
    whole = np.arange(7 * 8 * 9).reshape(7, 8, 9)
    box = (slice(2, 6), slice(3, 7), slice(1, 5))
    key = (*key, Ellipsis) if has_ellipsis else tuple(key)
    crop = CroppedPixels(whole, box)
    assert crop.shape == (4, 4, 4)
    assert np.array_equal(crop[key], whole[box][key])
    assert np.array_equal(np.asarray(crop), whole[box])


def test_bad_indices_of_crops():
    crop = CroppedPixels(YX, (slice(3, 9), slice(5, 9)))
    with pytest.raises(LevelIndexError, match="out of bounds for an axis of 6"):
        crop[6]
    with pytest.raises(LevelIndexError, match="3 indices were given for 2 axes"):
        crop[0, 0, 0]
    with pytest.raises(ArgumentTypeError, match="integers and slices"):
        crop[[1, 2]]
