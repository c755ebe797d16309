"""Level keys and the directories made from them."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_msimage.errors import ArgumentError, ArgumentTypeError
from napari_msimage.storage._names import check_level_key, directory_name

KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


def free(_name: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("level0", "level0"),
        ("l 1/é*", "l%201%2F%C3%A9%2A"),
        ("-_.()^!@+={}~'", "-_.()^!@+={}~'"),
        ("a,2", "a%2C2"),
        ("...", "..."),
    ],
)
def test_directories_are_spelled_as_upstream_spells_them(key, expected):
    assert directory_name(key, free) == expected


@given(KEYS)
def test_directories_are_distinct_single_and_short(key):
    name = directory_name(key, free)
    assert "/" not in name
    assert len(name) <= 200
    assert unquote(name) == key or "," in name


@given(KEYS, st.integers(1, 5))
def test_taken_directories_are_left_alone(key, n_taken):
    taken: set[str] = set()
    for _ in range(n_taken):
        taken.add(directory_name(key, taken.__contains__))
    assert len(taken) == n_taken


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "own folder"),
        (".", "own folder"),
        ("..", "own folder"),
        ("__meta", "belong to TileDB"),
        ("a\0", "NUL"),
        ("é" * 51, "100 bytes"),
        ("\ud800", "Unicode"),
    ],
)
def test_keys_that_cannot_work_are_refused_with_the_reason(key, reason):
    with pytest.raises(ArgumentError, match=reason):
        check_level_key(key)


@pytest.mark.parametrize("key", [None, 3, b"level0"])
def test_keys_must_be_text(key):
    with pytest.raises(ArgumentTypeError, match="level key must be a str"):
        check_level_key(key)


@pytest.mark.parametrize("key", ["_a", "a__", "soma_x", "a\nb", "\u202e", "é" * 50])
def test_odd_keys_are_taken(key):
    assert check_level_key(key) == key
