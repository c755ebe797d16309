"""JSON forms: spelled like upstream's, read strictly and within bounds."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from napari_msimage.coordinates import (
    AffineTransform,
    Axis,
    CoordinateSpace,
    IdentityTransform,
    ScaleTransform,
    UniformScaleTransform,
    coordinate_space_from_json,
    coordinate_space_to_json,
    parse_json,
    transform_from_json,
    transform_to_json,
)
from napari_msimage.errors import ArgumentError, ArgumentTypeError

XY = ("x", "y")
AXES = '"input_axes": ["x", "y"], "output_axes": ["a", "b"]'


def transform_text(kind, values=""):
    return (
        f'{{"transform_type": "{kind}Transform", "transform": {{{AXES}'
        f"{', ' if values else ''}{values}}}}}"
    )


FORMS = {
    "affine": (
        AffineTransform(XY, ("a", "b"), [[1, 2, 5], [3, 4, 6]]),
        transform_text(
            "Affine", '"matrix": [[1.0, 2.0, 5.0], [3.0, 4.0, 6.0], [0.0, 0.0, 1.0]]'
        ),
    ),
    "scale": (
        ScaleTransform(XY, ("a", "b"), [0.5, 0.25]),
        transform_text("Scale", '"scale_factors": [0.5, 0.25]'),
    ),
    "uniform": (
        UniformScaleTransform(XY, ("a", "b"), 2),
        transform_text("UniformScale", '"scale": 2.0'),
    ),
    "identity": (IdentityTransform(XY, ("a", "b")), transform_text("Identity")),
}


class TestCoordinateSpace:
    def test_form_is_upstreams(self):
        space = CoordinateSpace((Axis("x"), Axis("é", "µm")))
        assert coordinate_space_to_json(space) == (
            '[{"name": "x", "unit": null}, {"name": "\\u00e9", "unit": "\\u00b5m"}]'
        )

    @pytest.mark.parametrize(
        "text",
        [
            '[{"name":"x","unit":null},{"name":"y","unit":"um"}]',
            '[{"unit": null, "name": "x"}, {"name": "y", "unit": "um"}]',
            '  [ {"name" : "x"} , {"unit": "um", "name": "\\u0079"} ]\n',
        ],
        ids=["compact", "other-order", "spaces-and-no-unit"],
    )
    def test_spelling_does_not_matter(self, text):
        space = coordinate_space_from_json(text)
        assert space == CoordinateSpace((Axis("x"), Axis("y", "um")))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "cannot be read"),
            ("[", "cannot be read"),
            ("[1" + "0" * 5000 + "]", "cannot be read"),
            ("3", "is 3 .int.; expected a list"),
            ("null", "is None .NoneType.; expected a list"),
            ('{"name": "x"}', "expected a list"),
            ("[]", "expected at least one"),
            ('["x"]', r"axis 0 .* is 'x' .*expected an object with \['name'\]"),
            ('[{"name": "x"}, {"unit": "um"}]', r"axis 1 .* lacks \['name'\]"),
            ('[{"name": 3}]', r"name of axis 0 .* is 3 \(int\); expected a string"),
            ('[{"name": "x", "unit": 3}]', "unit of axis 0 .* expected a string or nu"),
            ('[{"name": "x", "scale": 3}]', r"unknown \['scale'\]"),
            ('[{"name": "x", "name": "y"}]', "given twice"),
            ('[{"name": "x"}, {"name": "x"}]', "must differ"),
            ('[{"name": "soma_x"}]', "starts with 'soma_'"),
            ("[" * 30_000, "nested too deeply|cannot be read"),
            (" " * 70_000, "has 70000 characters; expected at most 65536"),
        ],
    )
    def test_anything_else_is_refused(self, text, message):
        with pytest.raises(ArgumentError, match=message):
            coordinate_space_from_json(text)

    @pytest.mark.parametrize("text", [None, b"[]", 3, ["x"]])
    def test_what_is_no_text_is_refused(self, text):
        with pytest.raises(ArgumentError, match="expected a string"):
            coordinate_space_from_json(text)

    def test_messages_stay_short(self):
        with pytest.raises(ArgumentError, match="expected a list") as caught:
            coordinate_space_from_json(json.dumps("x" * 60_000))
        assert len(str(caught.value)) < 400

    def test_only_spaces_are_written(self):
        with pytest.raises(ArgumentTypeError, match="expected a CoordinateSpace"):
            coordinate_space_to_json(("x", "y"))


class TestTransform:
    @pytest.mark.parametrize(("transform", "text"), FORMS.values(), ids=FORMS)
    def test_form_is_upstreams(self, transform, text):
        assert transform_to_json(transform) == text

    @pytest.mark.parametrize(("transform", "text"), FORMS.values(), ids=FORMS)
    def test_form_is_read(self, transform, text):
        result = transform_from_json(text)
        assert type(result) is type(transform)
        assert repr(result) == repr(transform)

    def test_not_finite_numbers_pass(self):
        transform = AffineTransform(
            XY, XY, [[math.inf, 0, -math.inf], [0, math.nan, 1]]
        )
        result = transform_from_json(transform_to_json(transform))
        np.testing.assert_array_equal(
            result.augmented_matrix, transform.augmented_matrix
        )

    def test_a_string_is_one_axis(self):
        result = transform_from_json(
            '{"transform_type": "IdentityTransform",'
            ' "transform": {"input_axes": "xy", "output_axes": ["a"]}}'
        )
        assert result.input_axes == ("xy",)

    def test_a_subclass_is_written_as_its_family(self):
        class Flip(ScaleTransform):
            pass

        text = transform_to_json(Flip(XY, XY, [-1, 1]))
        assert json.loads(text)["transform_type"] == "ScaleTransform"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("nonsense", "cannot be read"),
            ("[]", "expected an object"),
            ('{"transform": {}}', r"lacks \['transform_type'\]"),
            ('{"transform_type": "IdentityTransform"}', r"lacks \['transform'\]"),
            (
                '{"transform_type": "Warp", "transform": {}}',
                "is 'Warp' .* expected one of",
            ),
            ('{"transform_type": ["x"], "transform": {}}', r"is \['x'\] \(list\)"),
            (
                '{"transform_type": "IdentityTransform", "transform": {}, "more": 1}',
                r"unknown \['more'\]",
            ),
            (
                '{"transform_type": "IdentityTransform", "transform": 3}',
                "expected an object",
            ),
            (
                '{"transform_type": "IdentityTransform", "transform": {}}',
                r"lacks \['input_axes', 'output_axes'\]",
            ),
            (
                '{"transform_type": "IdentityTransform",'
                ' "transform": {"input_axes": [1], "output_axes": ["a"]}}',
                r"input_axes .* is \[1\] \(list\); expected a list of strings",
            ),
            (transform_text("Scale"), r"values of Scale.* lacks \['scale_factors'\]"),
            (transform_text("Identity", '"scale": 1.0'), r"unknown \['scale'\]"),
            (transform_text("Scale", '"scale_factors": [1]'), "one factor for each"),
            (transform_text("Scale", '"scale_factors": ["1", 2]'), "numbers only"),
            (transform_text("Scale", '"scale_factors": {}'), "numbers only"),
            (transform_text("UniformScale", '"scale": true'), "numbers only"),
            (transform_text("UniformScale", '"scale": [1, 2]'), "a single number"),
            (transform_text("UniformScale", '"scale": null'), "numbers only"),
            (transform_text("Affine", '"matrix": [[1, 2], [3]]'), "equal length"),
            (transform_text("Affine", '"matrix": [[1, 2, 3]]'), "matrix has shape"),
            (transform_text("Affine", '"matrix": [[[1, 2]]]'), "numbers only"),
            (
                transform_text("UniformScale", f'"scale": 1{"0" * 400}'),
                "too large for floating point",
            ),
            (
                '{"transform_type": "IdentityTransform",'
                ' "transform": {"input_axes": ["x", "y"], "output_axes": ["a"]}}',
                "must be equal",
            ),
        ],
    )
    def test_anything_else_is_refused(self, text, message):
        with pytest.raises(ArgumentError, match=message):
            transform_from_json(text)

    @pytest.mark.parametrize("value", [None, "x", CoordinateSpace((Axis("x"),))])
    def test_only_transforms_are_written(self, value):
        with pytest.raises(ArgumentTypeError, match="expected an affine transform"):
            transform_to_json(value)


def test_parse_json_names_the_subject():
    with pytest.raises(ArgumentError, match="JSON of the weather cannot be read"):
        parse_json("{", "the weather")


def test_parse_json_gives_plain_values():
    assert parse_json('{"a": [1, 2.5, null]}', "a test") == {"a": [1, 2.5, None]}
