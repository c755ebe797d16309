"""Looks of layers: napari → hints → JSON → napari."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.layers import Image, Labels
from napari.utils.colormaps import (
    Colormap,
    CyclicLabelColormap,
    DirectLabelColormap,
    label_colormap,
)

from napari_msimage.errors import ArgumentError
from napari_msimage.plugin import _hint_fields, _hints, make_hints
from napari_msimage.plugin._custom_colors import (
    colormap_to_hints,
    custom_to_colormap,
    hints_to_label_colors,
    label_colors_to_hints,
)
from napari_msimage.plugin._json_values import json_part
from napari_msimage.plugin._layers import layer_tuple, plan_layers
from napari_msimage.plugin._look_arguments import look_arguments, set_late_attributes
from napari_msimage.plugin._looks import attributes_to_hints, layer_attributes
from napari_msimage.plugin._write_hints import hints_metadata

YX = np.arange(12, dtype=np.uint16).reshape(3, 4)

LOOKS = {
    "opacity": st.floats(0, 1),
    "gamma": st.floats(0.1, 5),
    "blending": st.sampled_from(
        ["translucent", "translucent_no_depth", "additive", "minimum", "opaque"]
    ),
    "interpolation2d": st.sampled_from(["nearest", "linear", "cubic", "spline36"]),
    "interpolation3d": st.sampled_from(["nearest", "linear", "lanczos"]),
    "rendering": st.sampled_from(["mip", "minip", "iso", "attenuated_mip", "average"]),
    "attenuation": st.floats(0.01, 0.5),
    "iso_threshold": st.floats(0, 11),
    "projection_mode": st.sampled_from(["none", "sum", "mean", "max", "min"]),
    "depiction": st.sampled_from(["volume", "plane"]),
    "visible": st.booleans(),
    "contrast_limits": st.tuples(st.floats(-100, 3), st.floats(4, 1e5)),
    "colormap": st.sampled_from(["gray", "viridis", "bop orange", "#00ff88"]),
    "name": st.text(min_size=1, max_size=30).filter(
        lambda s: s.encode("utf-8", "ignore").decode() == s and "\0" not in s
    ),
}


def through_json(hints):
    """Return hints as they are once stored."""
    return _hints.hints_from_json(_hints.hints_to_json(hints))


def image_facts(dtype="uint16", channels=None):
    """Return an image as plan_layers sees it."""
    from types import SimpleNamespace

    from napari_msimage.coordinates import CoordinateSpace

    order = ("y", "x") if channels is None else ("y", "x", "soma_channel")
    return SimpleNamespace(
        coordinate_space=CoordinateSpace.from_axis_names(("x", "y")),
        data_axis_order=order,
        has_channel_axis=channels is not None,
        nchannels=channels or 1,
        dtype=np.dtype(dtype),
    )


def reopened(layer, facts, **fields):
    """Return a layer made from the stored looks of another one."""
    is_labels = isinstance(layer, Labels)
    rgb = bool(getattr(layer, "rgb", False))
    hint, notes = attributes_to_hints(
        layer_attributes(layer), is_labels=is_labels, rgb=rgb
    )
    assert notes == ()
    whole = _hint_fields.LayerHints(
        **{name: getattr(hint, name) for name in _hint_fields.LayerHints.model_fields}
    )
    if is_labels:
        hints = _hints.DisplayHints(layer_type="labels", layer=whole)
    elif rgb:
        hints = _hints.DisplayHints(rgb=True, layer=whole)
    else:
        hints = _hints.DisplayHints(channels=(hint,))
    plan = plan_layers(facts, through_json(hints), name="file")
    (one,) = plan.layers
    data, arguments, kind = layer_tuple(
        plan, one, [layer.data], metadata={"napari_msimage": {"uri": "u"}}
    )
    again = {"image": Image, "labels": Labels}[kind](data, **arguments)
    set_late_attributes(again, "napari_msimage")
    return again


@given(st.fixed_dictionaries({}, optional=LOOKS))
def test_images_look_as_they_did(looks):
    layer = Image(YX, **looks)
    layer.contrast_limits_range = (-1000, 1e6)
    again = reopened(layer, image_facts())
    for name in (*LOOKS, "contrast_limits_range"):
        if name == "colormap":
            assert again.colormap.name == layer.colormap.name
            assert np.array_equal(again.colormap.colors, layer.colormap.colors)
        else:
            assert getattr(again, name) == getattr(layer, name), name
    assert again.metadata == {"napari_msimage": {"uri": "u"}}


def test_colours_look_as_they_did():
    layer = Image(
        np.zeros((40, 50, 3), np.uint8), name="he", opacity=0.4, blending="opaque",
        interpolation2d="cubic", visible=False, gamma=2.0,
    )  # fmt: skip
    again = reopened(layer, image_facts("uint8", channels=3))
    assert again.rgb
    for name in ("name", "opacity", "blending", "interpolation2d", "visible", "gamma"):
        assert getattr(again, name) == getattr(layer, name)


@pytest.mark.parametrize(
    "colormap",
    [
        None,
        label_colormap(7, 0.3),
        label_colormap(30, 0.7, background_value=2),
        CyclicLabelColormap([[0, 0, 0, 0], [1, 0, 0, 1], [0, 0.1, 0, 1]]),
        {1: "red", 7: (0, 0.5, 1, 0.25), None: "transparent"},
        DirectLabelColormap(color_dict={3: np.array([1, 0, 0, 1.0]), None: np.ones(4)}),
    ],
    ids=["default", "seeded", "background", "own", "dict", "direct"],
)
def test_labels_look_as_they_did(colormap):
    data = np.arange(12).reshape(3, 4)
    layer = Labels(data, name="nuclei", opacity=0.3, colormap=colormap)
    layer.contour = 2
    layer.rendering = "translucent"
    layer.iso_gradient_mode = "smooth"
    again = reopened(layer, image_facts("int64"))
    assert isinstance(again, Labels)
    for name in ("name", "opacity", "contour", "rendering", "iso_gradient_mode"):
        assert getattr(again, name) == getattr(layer, name)
    assert type(again.colormap) is type(layer.colormap)
    values = np.arange(-3, 60)
    assert np.array_equal(again.colormap.map(values), layer.colormap.map(values))


def test_labels_of_floats_are_an_image():
    hints = _hints.DisplayHints(layer_type="labels")
    (layer,) = plan_layers(image_facts("float32"), hints, name="a").layers
    assert layer.kind == "image"


def test_user_metadata_comes_back_beside_ours():
    metadata = {"stage": {"x": 1.5, "lens": None}, "tags": ["a", 2], "ok": True}
    layer = Image(YX, metadata={**metadata, "napari_msimage": {"uri": "other"}})
    again = reopened(layer, image_facts())
    assert again.metadata == {**metadata, "napari_msimage": {"uri": "u"}}


# JSON of metadata


@given(
    st.dictionaries(
        st.text("abc", min_size=1),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text("ab é")
            | st.floats(allow_nan=False, allow_infinity=False),
            lambda inner: st.lists(inner, max_size=3)
            | st.dictionaries(st.text("xyz"), inner, max_size=3),
            max_leaves=10,
        ),
    )
)  # fmt: skip
def test_metadata_that_is_json_is_kept_whole(metadata):
    assert json_part(metadata) == (metadata, ())


def test_numpy_numbers_and_tuples_have_a_json_form():
    kept, left_out = json_part({"a": np.float32(0.5), "b": (np.int64(3), "c")})
    assert kept == {"a": 0.5, "b": [3, "c"]}
    assert type(kept["b"][0]) is int
    assert left_out == ()


def test_what_is_not_json_is_left_out_by_name():
    deep = []
    for _ in range(99):
        deep = [deep]
    metadata = {
        "array": np.zeros(3), "nan": float("nan"), "set": {1}, 3: "key", "deep": deep,
        "half": [1, object()], "nested": {"good": 1, "bad": 1j}, "odd": "\ud800",
        "huge": 2**99,
    }  # fmt: skip
    kept, left_out = json_part(metadata)
    assert kept == {"nested": {"good": 1}}
    assert set(left_out) == {
        "array", "nan", "set", "3", "deep", "half", "nested.bad", "odd", "huge",
    }  # fmt: skip


def test_lost_metadata_and_kernels_are_named():
    layer = Image(
        YX,
        metadata={"gone": object()},
        interpolation2d="custom",
        custom_interpolation_kernel_2d=np.ones((3, 3)),
    )
    hint, notes = attributes_to_hints(
        layer_attributes(layer), is_labels=False, rgb=False
    )
    assert hint.interpolation2d is None
    assert notes == ("interpolation2d 'custom'", "metadata 'gone'")


# Colormaps


@pytest.mark.parametrize(
    "given",
    ["viridis", "gray", "gray_r", "bop blue", "#ff8000", "magenta", "twilight"],
)
def test_colormaps_with_a_name_are_stored_by_name(given):
    layer = Image(YX, colormap=given)
    assert colormap_to_hints(layer.colormap) == {"colormap": given}
    assert colormap_to_hints(layer.as_layer_data_tuple()[1]["colormap"]) == {
        "colormap": given
    }
    assert colormap_to_hints(given) == {"colormap": given}


@pytest.mark.parametrize(
    "given",
    [
        Colormap([[0, 0, 0], [1, 0, 0], [1, 1, 0.2]], "fire", controls=[0, 0.2, 1]),
        Colormap([[0, 0, 1], [1, 0, 0]], "steps", interpolation="zero"),
        Colormap([[0, 0, 0], [1, 0, 0]], "viridis"),
        Colormap([[0, 0, 0], [0, 1, 0]], "#ff0000"),
        Colormap([[0, 0, 0], [1, 0, 0]], "high", high_color="white", nan_color="red"),
    ],
    ids=lambda c: c.name,
)
def test_other_colormaps_are_stored_whole(given):
    fields = colormap_to_hints(given)
    (custom,) = fields.values()
    again = custom_to_colormap(
        _hint_fields.CustomColormap.model_validate_json(custom.model_dump_json())
    )
    values = np.array([-1, 0, 0.1, 0.2, 0.3, 0.9, 1, 2, np.nan])
    assert np.array_equal(again.map(values), given.map(values))
    assert again.name == given.name


@pytest.mark.parametrize("odd", ["nosuchmap", {"colors": "x"}, {"a": 3}])
def test_colormaps_that_are_none_are_left_out(odd):
    assert colormap_to_hints(odd) == {}


def test_odd_label_colours_are_left_out():
    assert label_colors_to_hints(3) is None
    assert label_colors_to_hints(None) is None
    direct = _hint_fields.LabelColors(direct=((4, (0.0, 0.0, 0.0, 1.0)),))
    assert hints_to_label_colors(direct).color_dict[None].tolist() == [0, 0, 0, 0]


# Damage


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("gamma", 0),
        ("gamma", "2"),
        ("opacity", 1.5),
        ("blending", "shiny"),
        ("interpolation2d", 3),
        ("rendering", None),
        ("layer_name", "x" * 2000),
        ("contrast_limits_range", [3, 1]),
        ("iso_threshold", "NaN"),
        ("custom_colormap", {"colors": []}),
        ("custom_colormap", {"colors": [[0, 0, 0, 2]]}),
        ("custom_colormap", {"colors": [[0, 0, 0, 1]] * 3, "controls": [0, 1]}),
        ("custom_colormap", {"colors": [[0, 0, 0, 1]] * 2, "controls": [1, 0]}),
        ("label_colors", {"n_colors": 10**9}),
        ("label_colors", {"direct": [["a", [0, 0, 0, 1]]]}),
        ("contour", -1),
        ("user_metadata", [1]),
    ],
    ids=str,
)
def test_a_damaged_value_is_left_out_alone(field, value):
    channel = {"name": "DAPI", field: value}
    text = json.dumps({"version": 1, "channels": [channel]})
    notes = []
    hints = _hints.hints_from_json(text, notes)
    assert hints.channel(0) == _hints.ChannelHints(name="DAPI")
    assert [note.partition(":")[0] for note in notes] == [field] * (value is not None)
    plan_layers(image_facts(), hints, name="a")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("layer", 3),
        ("placement", {"scale": [1, "a"]}),
        ("placement", {"affine": [[1e999]]}),
        ("layer_type", "points"),
        ("order", -1),
    ],
    ids=str,
)
def test_damage_of_the_whole_leaves_the_channels(field, value):
    text = json.dumps({"version": 1, "channels": [{"name": "a"}], field: value})
    notes = []
    hints = _hints.hints_from_json(text, notes)
    assert hints.channel(0).name == "a"
    assert getattr(hints, field) is None
    assert len(notes) == 1


def test_new_hints_with_a_wrong_look_are_an_error():
    with pytest.raises(ArgumentError, match=r"opacity: .*less than or equal to 1"):
        make_hints([{"opacity": 2.0}])


def test_looks_of_the_other_kind_are_not_used():
    image = _hint_fields.LayerHints(rendering="mip", projection_mode="sum", gamma=2.0)
    assert look_arguments(image, is_labels=True) == {}
    labels = _hint_fields.LayerHints(rendering="iso_categorical")
    assert look_arguments(labels, is_labels=False) == {}
    either = _hint_fields.LayerHints(rendering="translucent")
    for is_labels in (True, False):
        assert look_arguments(either, is_labels=is_labels) == {
            "rendering": "translucent"
        }


# Size


def size_of(metadata):
    return len(metadata[_hints.HINTS_KEY].encode())


def test_metadata_that_is_too_large_is_left_out_first():
    hint = _hints.ChannelHints(name="a", user_metadata={"text": "é" * 40000})
    hints = _hints.DisplayHints(channels=(hint,))
    metadata, notes = hints_metadata(hints, "The layer")
    assert _hints.read_hints(metadata).channel(0) == _hints.ChannelHints(name="a")
    assert len(notes) == 1
    assert "64 KiB of settings; its metadata" in notes[0]


def test_looks_of_many_channels_are_shortened_until_they_fit():
    layer = Image(YX, name="channel with a long name " * 3)
    hint, _ = attributes_to_hints(layer_attributes(layer), is_labels=False, rgb=False)
    hints = _hints.DisplayHints(channels=(hint,) * 500)
    metadata, notes = hints_metadata(hints, "The layer")
    assert size_of(metadata) <= _hints.MAX_HINTS_BYTES
    assert notes
    found = _hints.read_hints(metadata)
    assert found.channel(0).contrast_limits == hint.contrast_limits


def test_small_hints_are_stored_whole():
    hints = make_hints([{"name": "a"}], rgb=False)
    metadata, notes = hints_metadata(hints, "The layer")
    assert _hints.read_hints(metadata) == hints
    assert notes == ()
