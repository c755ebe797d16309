"""Display hints: what is stored, and how damage is met."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_msimage.errors import ArgumentError, FormatError
from napari_msimage.plugin import _hints, make_hints, read_hints

CHANNELS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.text("abc é-Ω9", min_size=1).filter(str.strip),
            "colormap": st.sampled_from(["blue", "bop orange", "#0aFF09"]),
            "contrast_limits": st.tuples(
                st.floats(-1e9, 0), st.floats(0.001, 1e9, allow_nan=False)
            ),
            "visible": st.booleans(),
        },
    ),
    max_size=5,
)


@given(channels=CHANNELS, rgb=st.none() | st.booleans())
def test_json_there_and_back(channels, rgb):
    hints = make_hints(channels, rgb=rgb)
    assert _hints.hints_from_json(_hints.hints_to_json(hints)) == hints


def test_stored_text_is_plain_json_with_a_version():
    text = _hints.hints_to_json(make_hints([{"name": "DAPI"}, {}], rgb=False))
    assert json.loads(text) == {
        "version": 1,
        "rgb": False,
        "channels": [{"name": "DAPI"}, {}],
    }


def test_unknown_fields_of_later_writers_are_ignored():
    text = '{"version": 1, "gamma": 2, "channels": [{"name": "a", "gamma": 1}]}'
    assert _hints.hints_from_json(text).channel(0).name == "a"


def test_channels_without_hints_get_empty_ones():
    assert make_hints().channel(7) == _hints.ChannelHints()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Expecting value"),
        ("[]", "JSON object with a 'version'"),
        ("{}", "JSON object with a 'version'"),
        ('{"version": 2}', "another version"),
        ('{"version": null}', "another version"),
        ('{"version": 1, "rgb": 1}', "rgb: .*boolean"),
        ('{"version": 1, "channels": {}}', "channels: .*array"),
        ('{"version": 1, "channels": [3]}', r"channels\.0: .*object"),
        ('{"version": 1, "channels": [{"visible": "y"}]}', "visible: .*boolean"),
        ('{"version": 1, "channels": [{"name": " "}]}', "printable characters"),
        ('{"version": 1, "channels": [{"colormap": "<b>"}]}', "a colormap is"),
        ('{"version": 1, "channels": [{"contrast_limits": [3, 1]}]}', "low < high"),
        ('{"version": 1, "channels": [{"contrast_limits": [0, NaN]}]}', "low < high"),
        ('{"version": 1, "channels": [{"contrast_limits": [0, 1e999]}]}', "low < high"),
        ('{"version": 1, "channels": [{"contrast_limits": [true, 2]}]}', "number"),
        ('{"version": 1, "channels": [{"contrast_limits": [1]}]}', "required"),
        ("[" * 9999, "recursion"),
        ('{"version": ' + "1" * 5000 + "}", "digits"),
        (" " * 70000, "70000 characters"),
        (b"\xff\xfe{", "codec can't decode"),
    ],
    ids=range(20),
)
def test_damaged_hints_are_refused(text, problem):
    with pytest.raises(FormatError, match=rf"(?s)^Bad display hints: .*{problem}"):
        _hints.hints_from_json(text)


@pytest.mark.parametrize("value", [3, 2.5, ["a"]])
def test_metadata_that_is_no_text_is_refused(value):
    with pytest.raises(FormatError, match="expected text"):
        read_hints({"napari_msimage": value})


def test_images_without_hints_have_none():
    assert read_hints({"other": "x"}) is None


def test_hints_stored_as_bytes_are_read():
    assert read_hints({"napari_msimage": b'{"version": 1, "rgb": true}'}).rgb is True


@pytest.mark.parametrize(
    ("channels", "problem"),
    [
        ([{"colour": "red"}], "'colour'"),
        ([{"contrast_limits": (2, 1)}], "low < high"),
        ([{"name": 3}], "name: .*string"),
    ],
)
def test_wrong_values_for_new_hints_are_refused(channels, problem):
    with pytest.raises(ArgumentError, match=problem):
        make_hints(channels)
