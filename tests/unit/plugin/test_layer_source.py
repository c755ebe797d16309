"""One layer to be written: what is taken, how it is called, what is refused."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_msimage.errors import ArgumentError, ArgumentTypeError, UnsupportedError
from napari_msimage.plugin._layer_source import layer_parts, read_source

YX = np.zeros((97, 130), np.uint8)


class Untouchable:
    """An array-like whose pixels nobody may ask for."""

    def __init__(self, shape, dtype="uint8"):
        self.shape, self.dtype = shape, np.dtype(dtype)
        self.ndim, self.size = len(shape), int(np.prod(shape))

    def __getitem__(self, key):
        raise AssertionError("a pixel was read")

    def __array__(self, *args, **kwargs):
        raise AssertionError("pixels were read")


def source_of(data=YX, kind="image", *, levels="all", channel_axis=None, **attributes):
    return read_source(data, attributes, kind, levels=levels, channel_axis=channel_axis)


# Parts


def test_layers_and_tuples_say_the_same():
    layer = Image(YX, name="a", scale=(2, 3), units="um")
    one = read_source(*layer_parts(layer))
    other = read_source(*layer_parts(layer.as_layer_data_tuple()))
    assert one.name == other.name == "a"
    assert np.array_equal(one.matrix, other.matrix)
    assert one.units == other.units == ("micrometer", "micrometer")
    assert one.placement == other.placement


def test_what_tuples_lack_is_asked_of_layers():
    labels = Labels(np.zeros((97, 130), int))
    labels.contour = 3
    assert read_source(*layer_parts(labels)).hints.contour == 3
    image = Image(YX, contrast_limits=(3, 9))
    image.contrast_limits_range = (0, 99)
    assert read_source(*layer_parts(image)).hints.contrast_limits_range == (0, 99)


def test_short_tuples_are_images():
    assert layer_parts((YX,)) == (YX, {}, "image")
    assert layer_parts((YX, None)) == (YX, {}, "image")


@pytest.mark.parametrize("odd", [YX, "a.tif", (), (YX, {}, "image", 3), None])
def test_what_is_no_layer_is_refused(odd):
    with pytest.raises(ArgumentTypeError, match="Expected napari layers or tuples"):
        layer_parts(odd)


# Axes


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (None, ("y", "x")),
        ((), ("y", "x")),
        (("-2", "-1"), ("y", "x")),
        (("axis -2", "axis -1"), ("y", "x")),
        (("0", "1"), ("y", "x")),
        (("row", "column"), ("row", "column")),
        (("x", "y"), ("x", "y")),
        (("", "width"), ("y", "width")),
        (("y", "y"), ("y", "x")),
        (("x", "-1"), ("y", "x")),
        (("soma_joinid", "b"), ("y", "b")),
        (("a", "b", "c"), ("y", "x")),
    ],
    ids=str,
)
def test_names_of_axes(labels, names):
    assert source_of(axis_labels=labels).axis_names == names


def test_names_that_cannot_be_are_noted():
    source = source_of(axis_labels=("y", "y"), name="a")
    (note,) = source.notes
    assert "'a' has axes named 'y', 'y'; they are stored as y, x" in note
    assert source_of(axis_labels=("-2", "-1")).notes == ()


def test_volumes_have_three_axes():
    assert source_of(np.zeros((5, 9, 13))).axis_names == ("z", "y", "x")


def test_four_axes_are_refused_with_what_is_supported():
    with pytest.raises(UnsupportedError, match=r"4 axes \(axis 0, z, y, x\).*channel_"):
        source_of(np.zeros((2, 5, 9, 13)), name="movie")
    with pytest.raises(UnsupportedError, match=r"labels layer 'cells' has 4 axes"):
        source_of(np.zeros((2, 5, 9, 13), int), "labels", name="cells", channel_axis=0)


def test_one_axis_is_refused():
    with pytest.raises(UnsupportedError, match=r"1 axes \(x\).*2 or 3 spatial axes"):
        source_of(np.zeros(9))
    with pytest.raises(UnsupportedError, match="or another channel axis"):
        source_of(YX, channel_axis=0)


@pytest.mark.parametrize(
    ("shape", "axis", "names"),
    [
        ((3, 97, 130), 0, ("y", "x")),
        ((97, 130, 2), -1, ("y", "x")),
        ((5, 3, 97, 130), 1, ("z", "y", "x")),
    ],
)
def test_a_named_channel_axis_is_none_of_space(shape, axis, names):
    scale = np.arange(1, len(shape) + 1)
    source = source_of(np.zeros(shape), channel_axis=axis, scale=scale, rgb=False)
    assert source.axis_names == names
    assert source.channel_axis == axis % len(shape)
    kept = np.delete(scale, axis)
    assert np.diag(source.matrix)[:-1].tolist() == kept.tolist()


def test_names_besides_a_channel_axis_are_kept():
    labels = ("c", "row", "column")
    source = source_of(np.zeros((3, 9, 13)), channel_axis=0, axis_labels=labels)
    assert source.axis_names == ("row", "column")


def test_colours_and_labels_have_no_other_channel_axis():
    colours = source_of(np.zeros((97, 130, 3), np.uint8), channel_axis=0)
    assert colours.rgb
    assert colours.channel_axis == 2
    labels = source_of(np.zeros((5, 9, 13), int), "labels", channel_axis=0)
    assert labels.channel_axis is None


@pytest.mark.parametrize("axis", [3, -4, True])
def test_a_channel_axis_that_is_none_is_refused(axis):
    with pytest.raises(ArgumentError, match=rf"3 axes, 0 to 2; axis {axis} cannot"):
        source_of(np.zeros((3, 9, 13)), channel_axis=axis)


def test_a_turned_channel_axis_is_refused():
    with pytest.raises(ArgumentError, match="turned or sheared along axis 0"):
        source_of(np.zeros((3, 9, 13)), channel_axis=0, rotate=(0, 30, 0))


def test_levels_with_other_channels_are_refused():
    levels = [np.zeros((4, 90, 130)), np.zeros((2, 45, 65))]
    with pytest.raises(ArgumentError, match=r"have \[2, 4\] pixels along axis 0"):
        source_of(levels, channel_axis=0, multiscale=True)


# Pixels


def test_no_pixel_is_read():
    source = source_of(Untouchable((10**5, 10**5)))
    assert source.shapes == ((10**5, 10**5),)


def test_lists_are_small_enough_to_be_arrays():
    assert source_of([[1, 2], [3, 4]]).shapes == ((2, 2),)


def test_levels_are_guessed_as_napari_does():
    levels = [np.zeros((96, 130)), np.zeros((48, 65))]
    source = source_of(levels)
    assert source.shapes == ((96, 130), (48, 65))
    assert source.is_complete
    layer = Image(levels, multiscale=True)
    assert read_source(*layer_parts(layer)).shapes == source.shapes


@pytest.mark.parametrize(
    ("given", "stored"), [("bool", "uint8"), ("float16", "float32")]
)
def test_types_are_converted_only_where_nothing_is_lost(given, stored):
    pixels = np.array([[0, 1, 1], [1, 0, 0]], given)
    source = source_of(pixels, name="a")
    assert source.dtype == stored
    (level,) = source.levels
    found = level[0:2, 1:3]
    assert (found.dtype, level.dtype, level.shape) == (stored, stored, (2, 3))
    assert found.tolist() == pixels[:, 1:].tolist()
    assert f"'a' is stored with {given} pixels as {stored}" in source.notes[0]


def test_lazy_pixels_are_converted_lazily():
    lazy = da.ones((4000, 5000), chunks=(100, 200), dtype=bool)
    (level,) = source_of(lazy).levels
    assert level.chunks == lazy.chunks
    assert level[3:5, 7:8].tolist() == [[1], [1]]


@pytest.mark.parametrize("dtype", ["complex64", "U3", "datetime64[ms]", object, "V4"])
def test_types_that_cannot_be_stored_are_refused(dtype):
    with pytest.raises(ArgumentTypeError, match=r"'a' has pixels of type .* SOMA im"):
        source_of(np.zeros((4, 5), dtype), name="a")


def test_labels_that_are_no_integers_are_refused():
    with pytest.raises(ArgumentTypeError, match="type float32; labels are integers"):
        source_of(np.zeros((4, 5), "float32"), "labels")


def test_types_of_other_byte_order_are_native_when_stored():
    assert source_of(np.zeros((4, 5), ">u2")).dtype == np.dtype("=u2")


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), ()])
def test_layers_without_pixels_are_refused(shape):
    with pytest.raises(ArgumentError, match=r"'a' has no pixels: its shape is"):
        source_of(np.zeros(shape), name="a")


def test_sizes_that_are_not_known_yet_are_refused():
    pixels = da.ones((97, 130), "uint8", chunks=50)
    with pytest.raises(ArgumentError, match="Call compute_chunk_sizes"):
        source_of(pixels[pixels[:, 0] > 0], rgb=False)


def test_data_that_is_no_array_is_refused():
    with pytest.raises(ArgumentTypeError, match="expected an array with shape"):
        source_of("text")
    with pytest.raises(ArgumentError, match="has no data"):
        source_of([], multiscale=True)


# Levels


@pytest.fixture
def pyramid():
    shapes = [(96, 130), (48, 65), (12, 13)]
    layer = Image([np.zeros(s) for s in shapes], scale=(2, 3), translate=(5, 7))
    assert layer.multiscale
    return layer


def test_a_chosen_level_becomes_the_finest_in_the_same_place(pyramid):
    source = read_source(*layer_parts(pyramid), levels=1)
    assert source.shapes == ((48, 65), (12, 13))
    assert np.diag(source.matrix).tolist() == [4, 6, 1]
    assert source.matrix[:, 2].tolist() == [5 + 1, 7 + 1.5, 1]
    assert source.placement.scale == (4, 6)


def test_the_current_level_is_the_locked_one(pyramid):
    assert len(read_source(*layer_parts(pyramid), levels="current").levels) == 1
    pyramid.locked_data_level = 1
    assert len(read_source(*layer_parts(pyramid), levels="current").levels) == 2
    state = pyramid.as_layer_data_tuple()
    assert len(read_source(*layer_parts(state), levels="current").levels) == 2


def test_levels_count_from_the_end_too(pyramid):
    assert len(read_source(*layer_parts(pyramid), levels=-1).levels) == 1


@pytest.mark.parametrize("levels", [3, -4, True])
def test_levels_that_are_not_there_are_refused(pyramid, levels):
    with pytest.raises(ArgumentError, match=r"has 3 levels, 0 to 2; level .* asked"):
        read_source(*layer_parts(pyramid), levels=levels)


@pytest.mark.parametrize("levels", ["finest", 1.5, None], ids=str)
def test_other_words_for_levels_are_refused(pyramid, levels):
    for layer in (pyramid, Image(np.zeros((9, 8)))):
        with pytest.raises(ArgumentError, match="levels must be 'all', 'current' or"):
            read_source(*layer_parts(layer), levels=levels)


def test_single_scale_layers_have_one_level_to_choose_from():
    assert len(source_of(levels="current").levels) == 1
    assert not source_of().is_complete


# Units


@pytest.mark.parametrize(
    ("units", "names"),
    [
        (None, ("pixel", "pixel")),
        ("um", ("micrometer", "micrometer")),
        (("nm", "px"), ("nanometer", "pixel")),
        (Image(YX, units="mm").units, ("millimeter", "millimeter")),
    ],
    ids=str,
)
def test_units(units, names):
    assert source_of(units=units).units == names


@pytest.mark.parametrize("unit", ["furlongz", "", "x" * 99, "9**9**9"])
def test_units_pint_does_not_know_are_refused(unit):
    with pytest.raises(ArgumentError, match="which pint does not know"):
        source_of(units=unit)


def test_too_few_units_are_refused():
    with pytest.raises(ArgumentError, match="2 axes and 1 units"):
        source_of(units=("um",))


# Place


def test_flat_and_endless_transforms_are_refused():
    with pytest.raises(ArgumentError, match="'a' has a singular transform"):
        source_of(affine=np.diag([1, 0, 1]), name="a")
    with pytest.raises(ArgumentError, match="'a' has a transform with numbers that"):
        source_of(translate=(np.nan, 1), name="a")
