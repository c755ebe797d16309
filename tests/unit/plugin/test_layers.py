"""Mapping an image to layers: axes, units, levels, colours, the half pixel."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from napari_msimage.coordinates import Axis, CoordinateSpace
from napari_msimage.errors import UnsupportedError
from napari_msimage.plugin import _layers
from napari_msimage.plugin._colormaps import default_colormaps
from napari_msimage.plugin._hints import DisplayHints, make_hints

SIZES = {"soma_channel": 4, "x": 13, "y": 9, "z": 5}


@dataclasses.dataclass
class FakeImage:
    """An image that is only facts."""

    coordinate_space: CoordinateSpace
    data_axis_order: tuple[str, ...]
    nchannels: int
    dtype: Any

    @property
    def has_channel_axis(self):
        return "soma_channel" in self.data_axis_order


def fake(order, axes=("x", "y"), units=None, nchannels=None, dtype="uint8"):
    units = units or [None] * len(axes)
    space = CoordinateSpace([Axis(a, u) for a, u in zip(axes, units, strict=True)])
    if nchannels is None:
        nchannels = SIZES["soma_channel"] if "soma_channel" in order else 1
    return FakeImage(space, tuple(order), nchannels, np.dtype(dtype))


def numbered(order):
    """Return an array whose cells say where they are: sum of index x weight."""
    weights = {"soma_channel": 1000000, "z": 10000, "y": 100, "x": 1}
    cells = np.zeros([SIZES[name] for name in order], dtype=int)
    for axis, name in enumerate(order):
        index = np.arange(SIZES[name]) * weights[name]
        cells += index.reshape([-1 if i == axis else 1 for i in range(len(order))])
    return cells


@pytest.mark.parametrize(
    "order",
    [
        ("soma_channel", "y", "x"),
        ("y", "x", "soma_channel"),
        ("x", "soma_channel", "y"),
        ("y", "x"),
        ("x", "y"),
    ],
    ids="".join,
)
def test_channel_view_is_y_x_whatever_is_stored(order):
    image = fake(order)
    for channel in range(image.nchannels):
        view = _layers.channel_view(numbered(order), image, channel)
        assert view.shape == (9, 13)
        assert view[7, 11] == 1000000 * channel + 711


@pytest.mark.parametrize(
    "order",
    [("soma_channel", "z", "y", "x"), ("x", "y", "z"), ("z", "x", "soma_channel", "y")],
    ids="".join,
)
def test_channel_view_of_a_volume_is_z_y_x(order):
    view = _layers.channel_view(numbered(order), fake(order, ("x", "y", "z")), 0)
    assert view.shape == (5, 9, 13)
    assert view[3, 7, 11] == 30711


def test_axes_follow_the_space_not_the_alphabet():
    image = fake(("x", "y"), axes=("y", "x"))
    assert _layers.display_axes(image) == ("x", "y")
    assert _layers.channel_view(numbered(("x", "y")), image, 0).shape == (13, 9)


@pytest.mark.parametrize(
    "order",
    [
        ("soma_channel", "y", "x"),
        ("y", "x", "soma_channel"),
        ("x", "soma_channel", "y"),
    ],
    ids="".join,
)
def test_rgb_view_has_channels_last(order):
    view = _layers.rgb_view(numbered(order), fake(order))
    assert view.shape == (9, 13, 4)
    assert view[7, 11, 2] == 2000711


@pytest.mark.parametrize(
    "order", [("x",), ("soma_channel", "x"), ("x", "soma_channel")]
)
def test_one_axis_becomes_a_row(order):
    image = fake(order, axes=("x",), units=["um"])
    assert _layers.channel_view(numbered(order), image, 0).shape == (1, 13)
    plan = _layers.plan_layers(image, name="line", rgb=False)
    assert plan.axis_labels == ("row", "x")
    assert plan.units == ("micrometer", "micrometer")


def test_one_axis_of_colours_becomes_a_coloured_row():
    order = ("soma_channel", "x")
    assert _layers.rgb_view(numbered(order), fake(order, axes=("x",))).shape == (
        1,
        13,
        4,
    )


def test_row_label_differs_from_the_axis():
    image = fake(("row",), axes=("row",))
    assert _layers.display_axes(image) == ("-", "row")


@pytest.mark.parametrize(
    ("unit", "shown"),
    [
        (None, "pixel"),
        ("um", "micrometer"),
        ("µm", "micrometer"),
        ("micrometer", "micrometer"),
        ("nm", "nanometer"),
        ("s", "second"),
        ("px", "pixel"),
        ("Pixels", "pixel"),
    ],
)
def test_known_units_are_passed_on(unit, shown):
    units, notes = _layers.display_units(fake(("y", "x"), units=[unit, None]))
    assert units == ("pixel", shown)
    assert notes == ()


@pytest.mark.parametrize(
    "unit",
    ["parsec_per_fortnight", "degC", "MM", "2 um", "um^2", "9**9**9**9", "", "?", "A"],
)
def test_unknown_units_become_pixels_with_a_note(unit):
    units, notes = _layers.display_units(fake(("y", "x"), units=["um", unit]))
    assert units == ("pixel", "micrometer")
    assert len(notes) == 1
    assert repr(unit) in notes[0]
    assert "'y'" in notes[0]


@pytest.mark.parametrize(
    ("shapes", "kept"),
    [
        ([(10, 20), (5, 10)], (0, 1)),
        ([(10, 20)], (0,)),
        ([(10, 10), (10, 10), (5, 5)], (0, 2)),
        ([(12, 2), (10, 12), (10, 10), (5, 2)], (0, 3)),
        ([(10, 20), (10, 10), (5, 10), (3, 7)], (0, 1, 2, 3)),
    ],
    ids=["two", "one", "tied", "larger along one axis", "one axis at a time"],
)
def test_levels_that_do_not_shrink_are_left_out(shapes, kept):
    assert _layers.display_levels_of(shapes) == kept


@pytest.mark.parametrize(
    ("nchannels", "dtype", "hint", "wish", "rgb"),
    [
        (3, "uint8", None, None, True),
        (4, "uint8", None, None, True),
        (2, "uint8", None, None, False),
        (3, "uint16", None, None, False),
        (3, "uint16", True, None, True),
        (3, "uint8", False, None, False),
        (3, "uint8", False, True, True),
        (3, "uint8", True, False, False),
        (2, "uint8", True, None, False),
        (3, "int32", True, None, False),
    ],
)
def test_the_rule_for_colour(nchannels, dtype, hint, wish, rgb):
    order = ("soma_channel", "y", "x")
    image = fake(order, nchannels=nchannels, dtype=dtype)
    assert _layers.is_rgb(image, DisplayHints(rgb=hint), wish) is rgb


def test_three_pixels_deep_without_channel_axis_is_no_colour():
    assert _layers.is_rgb(fake(("y", "x")), DisplayHints()) is False


def test_colour_that_cannot_be_is_refused():
    image = fake(("soma_channel", "y", "x"), nchannels=2)
    with pytest.raises(UnsupportedError, match=r"2 channels of uint8 .* 3 or 4"):
        _layers.plan_layers(image, name="i", rgb=True)


def test_timestamps_are_refused():
    image = fake(("y", "x"), dtype="datetime64[ms]")
    with pytest.raises(UnsupportedError, match=r"type datetime64\[ms\]"):
        _layers.plan_layers(image, name="i")


def test_four_spatial_axes_are_refused():
    image = fake(("t", "z", "y", "x"), axes=("x", "y", "z", "t"))
    with pytest.raises(UnsupportedError, match="4 spatial axes"):
        _layers.plan_layers(image, name="i")


def test_rgb_plan_is_one_layer():
    plan = _layers.plan_layers(fake(("y", "x", "soma_channel")), name="liver")
    assert [(p.name, p.rgb, p.channel) for p in plan.layers] == [("liver", True, None)]


def test_channels_without_hints_get_distinct_additive_colours():
    image = fake(("soma_channel", "y", "x"), dtype="uint16")
    plan = _layers.plan_layers(image, name="liver")
    assert [p.name for p in plan.layers] == [f"liver channel {i}" for i in range(4)]
    assert [p.channel for p in plan.layers] == [0, 1, 2, 3]
    assert len({p.colormap for p in plan.layers}) == 4
    assert {p.blending for p in plan.layers} == {"additive"}
    assert {p.contrast_limits for p in plan.layers} == {None}


@pytest.mark.parametrize("n", [1, 2, 3, 6, 7, 40, 300])
def test_default_colormaps_are_distinct(n):
    assert len(set(default_colormaps(n))) == n


def test_hints_win_over_defaults():
    hints = make_hints(
        [
            {"name": "DAPI", "colormap": "blue", "contrast_limits": (5, 99)},
            {"visible": False, "colormap": "#ff8000"},
        ]
    )
    image = fake(("soma_channel", "y", "x"), nchannels=2, dtype="uint16")
    first, second = _layers.plan_layers(image, hints, name="liver").layers
    assert (first.name, first.colormap) == ("liver DAPI", "blue")
    assert first.contrast_limits == (5.0, 99.0)
    assert first.visible
    assert (second.name, second.colormap) == ("liver channel 1", "#ff8000")
    assert not second.visible


def test_colormaps_that_napari_lacks_are_noted_and_replaced():
    image = fake(("y", "x"))
    plan = _layers.plan_layers(image, make_hints([{"colormap": "plaid"}]), name="liver")
    assert plan.layers[0].colormap == "gray"
    assert "plaid" in plan.notes[0]


def test_many_channels_start_hidden_with_a_note():
    image = fake(("soma_channel", "y", "x"), nchannels=11)
    plan = _layers.plan_layers(image, name="codex")
    assert [p.visible for p in plan.layers] == [True] * 8 + [False] * 3
    assert "11 channels" in plan.notes[0]


def test_layer_tuple_places_the_image_in_its_space():
    image = fake(("soma_channel", "y", "x"), units=["um", "um"])
    plan = _layers.plan_layers(image, name="liver")
    data, arguments, kind = _layers.layer_tuple(plan, plan.layers[0], ["l0", "l1"])
    assert (data, kind) == (["l0", "l1"], "image")
    assert arguments["translate"] == (0.5, 0.5)
    assert arguments["scale"] == (1.0, 1.0)
    assert arguments["axis_labels"] == ("y", "x")
    assert arguments["multiscale"] is True
    assert arguments["rgb"] is True
    assert "colormap" not in arguments
