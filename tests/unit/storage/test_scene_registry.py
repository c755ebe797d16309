"""Transforms as collections store them: strict reading, exact writing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_msimage import (
    AffineTransform,
    Collection,
    IdentityTransform,
    ScaleTransform,
    Scene,
)
from napari_msimage.errors import ArgumentError, ArgumentTypeError, FormatError
from napari_msimage.storage import _scene_registry as registry

XY = ("x", "y")
ENTRY = "soma_scene_registry_a"


def text(kind="ScaleTransform", **values):
    """A stored transform; None takes an entry out."""
    values = {"input_axes": XY, "output_axes": XY, **values}
    fields = {key: value for key, value in values.items() if value is not None}
    return json.dumps({"transform_type": kind, "transform": fields})


GOOD = text(scale_factors=[0.5, 2])
DAMAGED = {
    "empty": ("", "cannot be read"),
    "no JSON": ("{", "cannot be read"),
    "a number": ("5", "is 5"),
    "a list": ("[]", r"is \[\]"),
    "no type": ('{"transform": {}}', "lacks"),
    "unknown type": (text("WarpTransform"), "WarpTransform"),
    "type is a list": (text(["ScaleTransform"]), "the type of"),
    "extra entry": (text(scale_factors=[1, 1], color="red"), "color"),
    "no axes": (text(input_axes=None, scale_factors=[1, 1]), "input_axes"),
    "axes are numbers": (text(input_axes=[1, 2], scale_factors=[1, 1]), "input_axes"),
    "too few factors": (text(scale_factors=[1]), "scale_factors"),
    "factors are text": (text(scale_factors=["1", "1"]), "numbers only"),
    "factors are null": (text(scale_factors=[None, 1]), "numbers only"),
    "NaN": (text(scale_factors=[float("nan"), 1]), "not finite"),
    "infinite": (text(scale_factors=[float("-inf"), 1]), "not finite"),
    "too large a number": (GOOD.replace("0.5", "1e999"), "not finite"),
    "uniform scale is a list": (text("UniformScaleTransform", scale=[1]), "scale"),
    "uniform NaN": (text("UniformScaleTransform", scale=float("nan")), "not finite"),
    "ragged matrix": (text("AffineTransform", matrix=[[1, 0, 0], [0, 1]]), "matrix"),
    "small matrix": (text("AffineTransform", matrix=[[1]]), "matrix|shape"),
    "deep matrix": (text("AffineTransform", matrix=[[[1]]]), "numbers only"),
    "bad last row": (
        text("AffineTransform", matrix=[[1, 0, 0], [0, 1, 0], [1, 0, 1]]),
        "last row",
    ),
    "NaN in the matrix": (
        text("AffineTransform", matrix=[[1, 0, float("nan")], [0, 1, 0], [0, 0, 1]]),
        "not finite",
    ),
    "fewer axes out": (
        text(output_axes=["x"], scale_factors=[1, 1]),
        "numbers must be equal",
    ),
    "name given twice": (GOOD.replace("{", '{"transform_type": "x",', 1), "twice"),
    "nested deeply": ("[" * 60_000 + "]" * 60_000, "characters|deeply"),
    "nested deeply but short": ("[" * 30_000, "deeply|cannot be read"),
    "long": (" " * 70_000 + GOOD, "70114|characters"),
    "huge integer": (text(scale_factors=[1, 1]).replace("1, 1", "1" * 5000), "read"),
    "bytes that are no text": (b"\xff\xfe", "not UTF-8"),
    "an int": (5, "must be text"),
}


@pytest.fixture
def img(tmp_uri):
    with Collection.create(tmp_uri) as made:
        made.add_new_collection("a")
        yield made


@pytest.mark.parametrize(("stored", "match"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_entries_say_what_is_wrong(img, stored, match):
    img.metadata.put(ENTRY, stored)
    with pytest.raises(FormatError, match=f"(?s){ENTRY}.*({match})"):
        registry.get_transform(img._state, "a")


@pytest.mark.parametrize("stored", [GOOD, GOOD.encode()], ids=["text", "bytes"])
def test_good_entries_are_read(img, stored):
    img.metadata.put(ENTRY, stored)
    found = registry.get_transform(img._state, "a")
    assert type(found) is ScaleTransform
    assert found.scale_factors.tolist() == [0.5, 2.0]


def test_thousands_of_axes_take_no_memory(img):
    axes = [f"{n:x}" for n in range(5000)]
    img.metadata.put(
        ENTRY, text("UniformScaleTransform", input_axes=axes, output_axes=axes, scale=2)
    )
    with pytest.raises(FormatError, match="characters"):
        registry.get_transform(img._state, "a")


def test_transforms_too_long_to_be_read_are_not_written(tmp_uri):
    axes = [f"{n:x}" * 20 for n in range(1000)]
    with pytest.raises(ArgumentError, match="characters; at most 65536"):
        Scene.create(tmp_uri, coordinate_space=axes)
    axes = [f"axis{n}" for n in range(90)]
    with Scene.create(tmp_uri, coordinate_space=axes) as scene:
        scene.add_new_collection("img").add_new_collection("a")
        transform = AffineTransform(axes, axes, np.full((90, 90), 1 / 3))
        with pytest.raises(ArgumentError, match="characters; at most 65536"):
            registry.put_transform(scene.img._state, "a", transform)


def test_damage_is_found_in_a_stored_scene(tmp_uri):
    with Scene.create(tmp_uri, coordinate_space=XY) as scene:
        image = {"type": "uint8", "level_shape": (3, 5, 7)}
        scene.add_new_collection("img")
        scene.add_new_multiscale_image(
            "a", "img", transform=IdentityTransform(XY, XY), **image
        )
        scene.img.metadata[ENTRY] = "{"
    with Scene.open(tmp_uri) as scene:
        assert scene.img["a"].level_count == 1
        for get in (
            scene.get_transform_to_multiscale_image,
            scene.get_transform_from_multiscale_image,
        ):
            with pytest.raises(FormatError, match=ENTRY):
                get("a", level=0)


@pytest.mark.parametrize(
    ("space", "match"),
    [
        ("[]", "no axes"),
        ("{", "cannot be read"),
        ('[{"name": "x"}, {"name": "x"}]', "must differ"),
        ('[{"name": "x", "colour": 1}]', "colour"),
        (b"\xff", "UTF-8"),
    ],
)
def test_damaged_space_of_a_scene_is_said(tmp_uri, space, match):
    with Scene.create(tmp_uri, coordinate_space=XY) as scene:
        scene.metadata.put("soma_coordinate_space", space)
    with pytest.raises(FormatError, match=f"soma_coordinate_space.*{match}"):
        Scene.open(tmp_uri)


@pytest.mark.parametrize("version", ["0.3.0", "", 2])
def test_unknown_versions_are_refused(tmp_uri, version):
    with Scene.create(tmp_uri) as scene:
        scene.metadata.put("soma_spatial_encoding_version", version)
    with pytest.raises(FormatError, match="soma_spatial_encoding_version"):
        Scene.open(tmp_uri)


class TestCheckToElement:
    def test_what_fits_is_returned(self, tmp_uri):
        with Scene.create(tmp_uri, coordinate_space=XY) as scene:
            transform = AffineTransform(XY, ("u", "v"), np.eye(2))
            assert registry.check_to_element(scene._state, transform) is transform

    @pytest.mark.parametrize(
        ("transform", "kind", "match"),
        [
            (None, ArgumentTypeError, "must be an affine"),
            (IdentityTransform(("y", "x"), XY), ArgumentError, "starts from"),
            (ScaleTransform(XY, XY, [1, np.inf]), ArgumentError, "finite"),
        ],
    )
    def test_what_does_not_is_said(self, tmp_uri, transform, kind, match):
        with (
            Scene.create(tmp_uri, coordinate_space=XY) as scene,
            pytest.raises(kind, match=match),
        ):
            registry.check_to_element(scene._state, transform)

    def test_scene_without_space_is_said(self, tmp_uri):
        with (
            Scene.create(tmp_uri) as scene,
            pytest.raises(ArgumentError, match=r"set scene\.coordinate_space"),
        ):
            registry.check_to_element(scene._state, IdentityTransform(XY, XY))
