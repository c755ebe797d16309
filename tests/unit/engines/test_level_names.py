"""Keys of new levels."""

from __future__ import annotations

import pytest

from napari_msimage.engines._level_names import check_new_key, new_keys
from napari_msimage.errors import ArgumentError, ArgumentTypeError


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        (["level0"], ["level1", "level2"]),
        (["level0", "level1", "level5"], ["level6", "level7"]),
        (["0", "1"], ["2", "3"]),
        (["s00", "s01"], ["s02", "s03"]),
        (["scale-08", "scale-09"], ["scale-10", "scale-11"]),
        (["fullres", "hires", "lowres"], ["level1", "level2"]),
        (["fullres", "level1"], ["level2", "level3"]),
        (["a/1", "b c 1"], ["level1", "level2"]),
        (["LEVEL1"], ["LEVEL2", "LEVEL3"]),
        (["x" * 97 + "999"], ["level1", "level2"]),
        ([], ["level1", "level2"]),
    ],
)
def test_keys_continue_the_image_s_own(existing, expected):
    assert new_keys(existing, 2) == expected


def test_a_key_that_differs_in_case_only_is_taken():
    assert new_keys(["full", "Level1"], 1) == ["Level2"]
    assert new_keys(["x", "level1", "Level2", "level0"], 1) == ["level3"]


@pytest.mark.parametrize("key", ["level1", "1", "a.b_c-d", "x" * 100])
def test_good_keys(key):
    assert check_new_key(key) == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        ".",
        "..",
        "_x",
        "-x",
        "__meta",
        "a/b",
        "a\\b",
        "a b",
        "ä",
        "a\n",
        "a\0",
        "a.",
        "nul",
        "Con.x",
    ],
)
def test_bad_keys_are_named(key):
    with pytest.raises(ArgumentError, match="letters, digits"):
        check_new_key(key)


def test_long_keys_are_refused():
    with pytest.raises(ArgumentError, match="has 101 characters"):
        check_new_key("x" * 101)


def test_other_types_are_refused():
    with pytest.raises(ArgumentTypeError, match="must be a str, got int"):
        check_new_key(1)
