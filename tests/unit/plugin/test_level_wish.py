"""What is typed into the form, as arguments of plan_levels."""

from __future__ import annotations

import math

import pytest

from napari_msimage.engines import METHODS
from napari_msimage.errors import ArgumentError
from napari_msimage.plugin._level_wish import LevelWish, parse_factors, parse_shapes
from napari_msimage.plugin.widgets._level_fields import METHOD_HELP


@pytest.mark.parametrize(
    ("text", "factors"),
    [
        ("2", [2]),
        ("2, 4,8", [2, 4, 8]),
        ("2; 2.5", [2, 2.5]),
        ("x=2 y=2 z=1; x = 4, y=4", [{"x": 2, "y": 2, "z": 1}, {"x": 4, "y": 4}]),
        ("1e400", [math.inf]),
    ],
    ids=["one", "several", "semicolons", "by axis", "huge"],
)
def test_factors(text, factors):
    assert parse_factors(text) == factors


@pytest.mark.parametrize("text", ["", " ", "two", "2,,4", "x=2 4", "x=", "x=2 x=3"])
def test_factors_that_make_no_sense(text):
    with pytest.raises(ArgumentError, match=r"Write a factor per level|as a factor"):
        parse_factors(text)


def test_not_a_number_is_left_to_the_plan():
    assert math.isnan(parse_factors("nan")[0])


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ("3 x 512 x 256", [(3, 512, 256)]),
        ("3x512x256; 3x256x128;", [(3, 512, 256), (3, 256, 128)]),
        ("(3, 512, 256)", [(3, 512, 256)]),
        ("3\N{MULTIPLICATION SIGN}512*256", [(3, 512, 256)]),
        ("-3 x 5", [(-3, 5)]),
    ],
    ids=["one", "several", "tuple", "signs", "negative"],
)
def test_shapes(text, shapes):
    assert parse_shapes(text) == shapes


@pytest.mark.parametrize("text", ["", ";", "3 x", "3 x a", "3.5 x 2", "3 x 5;; 3 x 2"])
def test_shapes_that_make_no_sense(text):
    with pytest.raises(ArgumentError, match="Write a shape per level"):
        parse_shapes(text)


def test_step_factors_are_those_of_the_image_s_axes():
    wish = LevelWish(steps=(("z", 1.0), ("x", 3.0)))
    assert wish.arguments(("x", "y"))["factor"] == {"x": 3.0, "y": 2.0}
    assert wish.arguments(("x", "y", "z"))["factor"] == {"x": 3.0, "y": 2.0, "z": 1.0}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("side", {"factor", "between", "max_side"}),
        ("count", {"factor", "between", "n_levels"}),
        ("factors", {"factors"}),
        ("shapes", {"shapes"}),
    ],
)
def test_only_what_counts_is_passed_on(mode, expected):
    wish = LevelWish(mode=mode, factors="2", shapes="3 x 4")
    assert set(wish.arguments(("x", "y"))) == {"method", "replace"} | expected


def test_names():
    assert LevelWish(keys=" a, b ;c").arguments(("x",))["keys"] == ["a", "b", "c"]
    assert "keys" not in LevelWish(keys=" ").arguments(("x",))


def test_every_method_is_explained():
    assert tuple(METHOD_HELP) == METHODS
