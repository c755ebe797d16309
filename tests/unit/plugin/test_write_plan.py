"""From layers to images and scenes: what is decided before a pixel is read."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels, Points

from napari_msimage.coordinates import (
    AffineTransform,
    Axis,
    IdentityTransform,
    ScaleTransform,
    UniformScaleTransform,
)
from napari_msimage.engines import ImageToWrite, SceneToWrite
from napari_msimage.errors import ArgumentError
from napari_msimage.plugin import read_hints
from napari_msimage.plugin._image_keys import image_keys
from napari_msimage.plugin._write_plan import plan_layers_to_write

RNG = np.random.default_rng(5)
YX = RNG.integers(1, 99, (97, 130)).astype("uint8")


def plan(*layers, **options):
    return plan_layers_to_write(layers, **options)


def image(name="a", data=YX, **attributes):
    return (data, {"name": name, **attributes}, "image")


def labels(name="cells", data=YX, **attributes):
    return (data, {"name": name, **attributes}, "labels")


# One layer


@pytest.mark.parametrize("translate", [(0, 0), (0.5, 0.5)])
def test_a_layer_on_the_pixel_grid_is_an_image(translate):
    what = plan(image(translate=translate, units=("mm", "px"))).what
    assert isinstance(what, ImageToWrite)
    assert what.coordinate_space.axes == (Axis("x"), Axis("y", "millimeter"))
    assert what.data_axis_order == ("y", "x")
    assert what.more_levels
    assert what.method == "mean"
    hints = read_hints(what.metadata)
    # where readers put it anyway needs no memory
    assert (hints.placement is None) == (translate == (0.5, 0.5))
    assert hints.channel(0).layer_name == "a"
    assert hints.order is None


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"translate": (0, 0.5)}, AffineTransform),
        ({"scale": (2, 2), "translate": (1, 1)}, UniformScaleTransform),
        ({"scale": (4, 2), "translate": (2, 1)}, ScaleTransform),
        ({"rotate": 30}, AffineTransform),
        ({"shear": (0.5,)}, AffineTransform),
        ({"affine": np.diag([1, 3, 1])}, AffineTransform),
    ],
    ids=str,
)
def test_any_other_place_makes_a_scene(attributes, kind):
    what = plan(image(units="um", axis_labels=("row", "col"), **attributes)).what
    assert isinstance(what, SceneToWrite)
    axes = (Axis("col", "micrometer"), Axis("row", "micrometer"))
    assert what.coordinate_space.axes == axes
    assert list(what.images) == ["a"]
    # pixels of an image have no unit
    assert what.images["a"].coordinate_space.axes == (Axis("col"), Axis("row"))
    assert what.images["a"].data_axis_order == ("row", "col")
    transform = what.transforms["a"]
    assert type(transform) is kind
    assert transform.input_axes == transform.output_axes == ("col", "row")


def test_colours_stay_where_they_are():
    what = plan(image(data=np.zeros((40, 50, 3), np.uint8))).what
    assert what.data_axis_order == ("y", "x", "soma_channel")
    assert what.levels[0].shape == (40, 50, 3)
    hints = read_hints(what.metadata)
    assert hints.rgb is True
    assert hints.layer.layer_name == "a"


def test_colours_that_will_not_open_as_such_are_noted():
    (note,) = plan(image(data=np.zeros((40, 50, 3), "int32"))).notes
    assert "colours of type int32" in note


def test_a_channel_axis_stays_where_it_is():
    data = np.zeros((97, 130, 2), np.uint16)
    what = plan(image(data=data, contrast_limits=(1, 9)), channel_axis=2).what
    assert what.data_axis_order == ("y", "x", "soma_channel")
    hints = read_hints(what.metadata)
    assert [c.contrast_limits for c in hints.channels] == [(1, 9)] * 2
    assert hints.channel(0).layer_name is None


def test_labels_are_labels():
    what = plan(labels()).what
    assert what.method == "mode"
    assert what.data_axis_order == ("y", "x")
    assert read_hints(what.metadata).layer_type == "labels"


@pytest.mark.parametrize(
    ("method", "of_image", "of_labels"),
    [(None, "mean", "mode"), ("stride", "stride", "stride"), ("max", "max", "mode")],
)
def test_methods(method, of_image, of_labels):
    what = plan(image(), labels(), method=method).what
    assert what.images["a"].method == of_image
    assert what.images["cells"].method == of_labels


def test_multiscale_layers_keep_their_levels():
    levels = [np.zeros((96, 130)), np.zeros((48, 65))]
    what = plan(image(data=levels, multiscale=True)).what
    assert not what.more_levels
    assert [level.shape for level in what.levels] == [(96, 130), (48, 65)]
    assert plan(image(data=levels, multiscale=True), more_levels=True).what.more_levels
    assert not plan(image(), more_levels=False).what.more_levels


def test_a_chosen_level_is_placed_over_the_same_extent():
    levels = [np.zeros((96, 130)), np.zeros((48, 65))]
    what = plan(image(data=levels, multiscale=True), levels=1).what
    transform = what.transforms["a"]
    # the low edge of the finest pixel 0 is at -1/2 in napari's world
    assert transform.transform_points([(-0.5, -0.5)]).tolist() == [[0, 0]]
    assert transform.transform_points([(129.5, 95.5)]).tolist() == [[65, 48]]


def test_platform_config_is_passed_on():
    assert plan(image(), platform_config={"a": 1}).what.platform_config == {"a": 1}


# Several layers


def test_several_layers_are_images_of_a_scene():
    what = plan(image(translate=(0.5, 0.5)), labels(scale=(2, 2))).what
    assert isinstance(what, SceneToWrite)
    assert list(what.images) == ["a", "cells"]
    assert type(what.transforms["a"]) is IdentityTransform
    hints = [read_hints(one.metadata) for one in what.images.values()]
    assert [h.order for h in hints] == [0, 1]
    assert hints[1].placement.scale == (2, 2)


def test_names_of_axes_are_those_of_the_first_layer():
    what = plan(image(axis_labels=("row", "col")), image("b")).what
    assert what.images["b"].data_axis_order == ("row", "col")
    assert what.images["b"].coordinate_space.axis_names == ("col", "row")


def test_units_are_those_of_the_first_layer():
    layers = (image(units="um", scale=(1, 2)), image("b", units="nm", scale=(500, 250)))
    result = plan(*layers)
    found = result.what.transforms["b"]
    assert np.diag(found.augmented_matrix) == pytest.approx([4, 2, 1])
    placement = read_hints(result.what.images["b"].metadata).placement
    assert placement.scale == pytest.approx((0.5, 0.25))
    assert any("'b' is stored in micrometer instead of nanometer" in n
               for n in result.notes)  # fmt: skip


def test_pixels_and_lengths_do_not_mix():
    with pytest.raises(ArgumentError, match=r"'b' is in pixel, .*'a' in micrometer"):
        plan(image(units="um"), image("b"))
    with pytest.raises(ArgumentError, match=r"'b' is in second"):
        plan(image(units="um"), image("b", units="s"))


def test_units_that_are_no_length_are_stored_with_a_note():
    result = plan(image(units="kelvin"))
    assert result.what.coordinate_space.axes[0].unit == "kelvin"
    assert "'kelvin' is stored" in result.notes[0]


def test_layers_of_other_dimensions_are_refused():
    volume = image("b", np.zeros((5, 9, 13)))
    with pytest.raises(ArgumentError, match=r"'a' has 2 spatial axes, .*'b' has 3"):
        plan(image(), volume)


def test_no_layers_are_refused():
    with pytest.raises(ArgumentError, match="No layers are given"):
        plan()


def test_other_layers_are_named_and_left_out():
    points = Points(np.zeros((3, 2)), name="spots")
    result = plan(points, Image(YX, name="a"), (np.zeros((4, 2)), {}, "shapes"))
    assert isinstance(result.what, ImageToWrite)
    assert result.skipped == ("'spots' (points)", "'' (shapes)")


def test_nothing_but_other_layers_is_refused():
    with pytest.raises(ArgumentError, match=r"None of .*'spots' \(points\)"):
        plan(Points(np.zeros((3, 2)), name="spots"))


def test_notes_are_not_repeated():
    layers = [image(axis_labels=("y", "y")), image(axis_labels=("y", "y"))]
    assert len(plan(*layers).notes) == 1


# Channels


def test_channels_are_stacked_lazily():
    def explode(block):
        raise AssertionError("pixels were read")

    lazy = da.zeros((97, 130), chunks=(50, 60), dtype="uint8").map_blocks(
        explode, dtype="uint8", meta=np.zeros((0, 0), np.uint8)
    )
    layers = [image("DAPI", lazy, colormap="blue"), image("CD3", lazy, colormap="red")]
    what = plan(*layers, channels=True).what
    assert isinstance(what, ImageToWrite)
    assert what.data_axis_order == ("soma_channel", "y", "x")
    (level,) = what.levels
    assert (level.shape, level.dtype) == ((2, 97, 130), np.uint8)
    assert level.chunks == ((1, 1), (50, 47), (60, 60, 10))
    hints = read_hints(what.metadata)
    assert [c.name for c in hints.channels] == ["DAPI", "CD3"]
    assert [c.colormap for c in hints.channels] == ["blue", "red"]


def test_stacked_channels_read_what_is_asked():
    one, other = YX, YX[::-1].copy()
    (level,) = plan(image("a", one), image("b", other), channels=True).what.levels
    box = (slice(0, 2), slice(3, 9), slice(100, 130))
    assert np.array_equal(level[box], np.stack([one, other])[box])
    assert np.array_equal(level[1:2, 0:5, 0:5], other[None, :5, :5])


def test_channels_of_a_volume_and_their_levels():
    levels = [np.zeros((8, 96, 130)), np.zeros((4, 48, 65))]
    layers = [image(n, levels, multiscale=True, scale=(3, 1, 1)) for n in "ab"]
    what = plan(*layers, channels=True).what
    (one,) = what.images.values()
    assert list(what.images) == ["image"]
    assert one.data_axis_order == ("soma_channel", "z", "y", "x")
    assert [level.shape for level in one.levels] == [(2, 8, 96, 130), (2, 4, 48, 65)]
    assert not one.more_levels


def test_labels_beside_channels_are_images_of_their_own():
    what = plan(image("a"), labels(), image("b"), channels=True).what
    assert list(what.images) == ["image", "cells"]
    assert what.images["image"].levels[0].shape == (2, 97, 130)


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({"data": YX[:50]}, r"levels of the shapes .*\(50, 130\)"),
        ({"data": YX.astype("uint16")}, "pixels of the type uint8, .* uint16"),
        ({"scale": (2, 1)}, "the transform"),
        ({"data": [YX, YX[::2, ::2]], "multiscale": True}, "levels of the shapes"),
        ({"data": np.zeros((97, 130, 3), np.uint8)}, "'b' is RGB"),
    ],
    ids=["shape", "type", "transform", "levels", "colours"],
)
def test_channels_that_differ_are_refused(other, problem):
    with pytest.raises(ArgumentError, match=problem):
        plan(image("a"), image("b", **other), channels=True)


def test_labels_alone_are_no_channels():
    with pytest.raises(ArgumentError, match="only labels layers"):
        plan(labels(), channels=True)


# Names


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (["a", "a", "A"], ("a", "a [1]", "A [2]")),
        (["a [1]", "a", "a"], ("a [1]", "a", "a [2]")),
        (["", "..", "/", "__"], ("image", "image [1]", "image [2]", "image [3]")),
        (["a/b\\c:d"], ("a_b_c_d",)),
        (["__meta"], ("meta",)),
        (["CON", "nul.txt"], ("CON_", "nul.txt_")),
        (["Kern µm 细胞 "], ("Kern µm 细胞",)),
        (["a\0\n\ud800b"], ("a___b",)),
        (["é" * 200], ("é" * 45,)),
    ],
    ids=repr,
)
def test_names_of_images_are_folder_names(names, keys):
    assert image_keys(names, ["image"] * len(names)) == keys


def test_the_layer_s_own_name_is_remembered():
    what = plan(image("a/b"), labels("a/b")).what
    assert list(what.images) == ["a_b", "a_b [1]"]
    hints = [read_hints(one.metadata) for one in what.images.values()]
    assert hints[0].channel(0).layer_name == hints[1].layer.layer_name == "a/b"


def test_layers_are_taken_as_they_are():
    what = plan(Image(YX, name="a"), Labels(YX.astype(int), name="b")).what
    assert what.images["a"].levels[0] is YX
