"""Scenes, collections and experiments to layer tuples, good and bad; no window."""

from __future__ import annotations

import json
import logging
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tiledb
from napari.layers import Image

from napari_msimage import (
    AffineTransform,
    Axis,
    Collection,
    CoordinateSpace,
    IdentityTransform,
    MultiscaleImage,
    ScaleTransform,
    Scene,
)
from napari_msimage.errors import (
    ConsentError,
    FormatError,
    SOMAError,
    UnsupportedError,
)
from napari_msimage.plugin import DisplayHints, make_hints, write_hints
from napari_msimage.plugin._hint_fields import Placement
from napari_msimage.plugin._new_levels import image_of_layer
from napari_msimage.plugin._open import OpenRequest, read_layers, request_of
from napari_msimage.plugin._reader import get_reader, read

GOLDEN = Path(__file__).parents[2] / "conformance" / "golden"
XY = ("x", "y")
UM = CoordinateSpace((Axis("x", "um"), Axis("y", "um")))
SCALE = ScaleTransform(XY, XY, [0.5, 0.25])
#: Turns, shears and shifts.
AFFINE = AffineTransform(XY, XY, [[0.1, -2.0, 30.0], [1.5, 0.2, -4.0]])


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """Return a folder with stores that tiledbsoma wrote."""
    folder = tmp_path_factory.mktemp("golden")
    for name in ("scene", "experiment_spatial", "all_dtypes"):
        with tarfile.open(GOLDEN / f"{name}.soma.tar.gz") as archive:
            archive.extractall(folder)
    return folder


@pytest.fixture
def notes(caplog):
    """Return what the user was told."""
    caplog.set_level(logging.INFO, logger="napari_msimage")
    return lambda: [record.getMessage() for record in caplog.records]


def fill(image):
    """Write pixels to all levels of an open image."""
    for level in image:
        shape = image[level].shape
        cells = np.random.default_rng(3).integers(1, 200, shape)
        image[level].write((slice(None),) * len(shape), cells.astype(image.dtype))


def add(scene, key, transform=None, folder="img", **options):
    """Add an image of two levels to a scene."""
    options = {
        "type": "uint16",
        "level_shape": (97, 130),
        "has_channel_axis": False,
        **options,
    }
    with scene.add_new_multiscale_image(
        key, folder, transform=transform, **options
    ) as image:
        *more, height, width = options["level_shape"]
        image.add_new_level("level1", shape=(*more, height // 2, width // 2))
        fill(image)


def make_scene(uri, images, space=UM):
    """Make a scene with an image per transform; return its address."""
    with Scene.create(str(uri), coordinate_space=space) as scene:
        scene.add_new_collection("img")
        for key, transform in images.items():
            add(scene, key, transform)
    return str(uri)


def register(uri, key, value):
    """Store the transform to an image behind our back."""
    with tiledb.Group(f"{uri}/img", "w") as group:
        text = value if isinstance(value, str | bytes | int) else json.dumps(value)
        group.meta[f"soma_scene_registry_{key}"] = text


def by_name(layers):
    return {arguments["name"]: arguments for _, arguments, _ in layers}


def as_layer(layer):
    data, arguments, kind = layer
    assert kind == "image"
    return Image(data, **arguments)


# Golden stores


@pytest.mark.parametrize("part", ["", "/", "/img"])
def test_scene_of_tiledbsoma(golden, notes, part):
    uri = f"{golden}/scene.soma"
    assert get_reader(uri + part)
    layers = read(uri + part)
    with Scene.open(uri) as scene:
        assert set(by_name(layers)) == set(scene.img)
        for key, found in by_name(layers).items():
            assert found["units"] == ("micrometer",) * 2
            assert found["axis_labels"] == ("y", "x") or key == "unregistered"
            if key == "unregistered":
                assert found["translate"] == (0.5, 0.5)
                continue
            layer = as_layer(next(t for t in layers if t[1] is found))
            to_scene = scene.get_transform_from_multiscale_image(key)
            for corner in ((0, 0), (32, 24), (0, 24), (32, 0)):  # x, y
                (expected,) = to_scene.transform_points([corner])
                at = layer.data_to_world(np.array(corner[::-1]) - 0.5)
                np.testing.assert_allclose(at[::-1], expected, atol=1e-9)
    text = "\n".join(notes())
    assert "'unregistered' has no transform" in text
    assert ("obsl/loc' (SOMAPointCloudDataFrame)" in text) == (part != "/img")


@pytest.mark.parametrize("part", ["", "/spatial", "/spatial/scene%201"])
def test_experiment_of_tiledbsoma(golden, part):
    layers = read(f"{golden}/experiment_spatial.soma{part}")
    assert len(layers) == 4
    assert by_name(layers)["hires"]["scale"] == (4.0, 2.0)


def test_collection_of_images_in_their_own_coordinates(golden, notes):
    layers = read(f"{golden}/all_dtypes.soma")
    assert len(layers) > 5
    assert all(a["translate"] == (0.5, 0.5) for _, a, _ in layers)
    assert not any("transform" in note for note in notes())


# Places


def test_images_lie_where_the_scene_puts_them(tmp_path, notes):
    uri = make_scene(tmp_path / "s.soma", {"a b": SCALE, "turned": AFFINE})
    layers = by_name(read(uri))
    assert list(layers) == ["a b", "turned"]
    plain, turned = layers.values()
    assert (plain["scale"], plain["translate"]) == ((4.0, 2.0), (2.0, 1.0))
    assert "affine" not in plain
    assert (turned["scale"], turned["translate"]) == ((1.0, 1.0), (0.0, 0.0))
    (centre,) = AFFINE.inverse_transform().transform_points([(3.5, 7.5)])
    np.testing.assert_allclose(turned["affine"] @ (7, 3, 1), [*centre[::-1], 1])
    assert not notes()


def test_a_volume_and_its_axes(tmp_path):
    axes = tuple(Axis(*pair) for pair in zip("xyz", ("nm", "nm", "um"), strict=True))
    to_image = ScaleTransform(tuple("xyz"), tuple("abc"), [0.5, 0.25, 4])
    with Scene.create(
        str(tmp_path / "s"), coordinate_space=CoordinateSpace(axes)
    ) as scene:
        scene.add_new_collection("img")
        add(
            scene, "v", to_image, coordinate_space=tuple("abc"),
            level_shape=(2, 5, 9, 13), has_channel_axis=True,
        )  # fmt: skip
    layers = read(str(tmp_path / "s"))
    assert len(layers) == 2
    for data, found, _ in layers:
        assert data[0].shape == (5, 9, 13)
        assert found["scale"] == (0.25, 4, 2)
        assert found["axis_labels"] == ("z", "y", "x")
        assert found["units"] == ("micrometer", "nanometer", "nanometer")


def test_colours_and_labels(tmp_path):
    uri = make_scene(tmp_path / "s", {"cells": SCALE})
    with Scene.open(uri, "w") as scene:
        add(
            scene, "rgb", AFFINE, type="uint8", level_shape=(3, 9, 13),
            has_channel_axis=True,
        )  # fmt: skip
    write_hints(f"{uri}/img/cells", DisplayHints(layer_type="labels", order=1))
    write_hints(f"{uri}/img/rgb", DisplayHints(order=0))
    (_, rgb, image), (_, cells, labels) = read(uri)
    assert (image, labels) == ("image", "labels")
    assert rgb["rgb"] is True
    assert "affine" in rgb
    assert cells["scale"] == (4.0, 2.0)


def test_a_remembered_transform_comes_back_if_it_still_agrees(tmp_path):
    uri = make_scene(tmp_path / "s", {"a": SCALE})
    remembered = Placement(scale=(2.0, 1.0), translate=(1.0, 0.5), affine=(
        (2.0, 0.0, 0.0), (0.0, 2.0, 0.0), (0.0, 0.0, 1.0)
    ))  # fmt: skip
    write_hints(f"{uri}/img/a", DisplayHints(placement=remembered))
    assert read(uri)[0][1]["scale"] == (2.0, 1.0)
    with Scene.open(uri, "w") as scene:
        scene.set_transform_to_multiscale_image("a", transform=AFFINE)
    assert read(uri)[0][1]["scale"] == (1.0, 1.0)
    assert read(f"{uri}/img/a")[0][1]["translate"] == (0.5, 0.5)


@pytest.mark.parametrize("coarse", [(48, 65), (33, 45)], ids=["half", "a third"])
def test_coarse_levels_lie_on_the_fine_one(tmp_path, coarse):
    uri = make_scene(tmp_path / "s", {})
    with Scene.open(uri, "w") as scene:
        image = scene.add_new_multiscale_image(
            "a", "img", transform=AFFINE, type="uint16", level_shape=(97, 130),
            has_channel_axis=False,
        )  # fmt: skip
        image.add_new_level("level1", shape=coarse)
        fill(image)
    layer = as_layer(read(uri)[0])
    with Scene.open(uri) as scene:
        to_scene = scene.get_transform_from_multiscale_image("a", level=1)
    factors = layer.downsample_factors[1]
    for corner in ((0, 0), coarse[::-1], (coarse[1], 0)):
        (expected,) = to_scene.transform_points([corner])
        at = layer.data_to_world(np.array(corner[::-1]) * factors - 0.5)
        np.testing.assert_allclose(at[::-1], expected, atol=1e-9)


def test_an_image_of_a_scene_by_itself_is_in_its_own_pixels(tmp_path):
    uri = make_scene(tmp_path / "s", {"a": SCALE})
    ((_, found, _),) = read(f"{uri}/img/a")
    assert found["translate"] == (0.5, 0.5)


def test_a_scene_without_space_goes_by_its_transforms(golden, tmp_path):
    uri = make_scene(tmp_path / "s", {"a": SCALE})
    with tiledb.Group(uri, "w") as group:
        del group.meta["soma_coordinate_space"]
    ((_, found, _),) = read(uri)
    assert found["scale"] == (4.0, 2.0)
    assert found["units"] == ("pixel", "pixel")


# What does not lie in its place, with a note


def scale(factors, start=XY, end=XY):
    return {
        "transform_type": "ScaleTransform",
        "transform": {
            "input_axes": start,
            "output_axes": end,
            "scale_factors": factors,
        },
    }


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (scale([0, 1]), "Cannot invert"),
        (scale([1e-320, 1]), "too large|Cannot invert"),
        ('{"transform_type": "ScaleTransform", "transform": {"input_axes": ["x", "y"],'
         ' "output_axes": ["x", "y"], "scale_factors": [NaN, 1]}}', "finite|damaged"),
        (scale([1, 1], end=["y", "x"]), "leads from|ends in"),
        (scale([1, 1], start=["a", "b"]), "leads from"),
        (scale([1, 1, 1], ["x", "y", "z"], ["x", "y", "z"]), "leads from"),
        ("{", "damaged"),
        (7, "must be text"),
        (b"\xff", "UTF-8"),
        ({"transform_type": "Warp", "transform": {}}, "Warp"),
    ],
    ids=["singular", "almost singular", "NaN", "image's axes", "scene's axes",
         "more axes", "no JSON", "number", "no text", "unknown"],
)  # fmt: skip
def test_bad_transforms_leave_the_image_in_its_own_pixels(
    tmp_path, notes, entry, reason
):
    uri = make_scene(tmp_path / "s", {"bad": SCALE, "good": SCALE})
    register(uri, "bad", entry)
    layers = by_name(read(uri))
    assert layers["good"]["scale"] == (4.0, 2.0)
    assert layers["bad"]["translate"] == (0.5, 0.5)
    assert layers["bad"]["units"] == layers["good"]["units"]
    (note,) = notes()
    assert "not in their place: 'bad': " in note
    assert any(word in note for word in reason.split("|"))


def test_images_without_transform_share_one_note(tmp_path, notes):
    uri = make_scene(tmp_path / "s", {"a": None, "b": None, "c": SCALE})
    assert len(read(uri)) == 3
    (note,) = notes()
    assert "'a' and 'b' have no transform from the scene" in note


def test_the_img_collection_of_a_scene_that_is_gone(tmp_path, notes):
    uri = make_scene(tmp_path / "s", {"a": SCALE})
    shutil.move(f"{uri}/img", tmp_path / "img")
    ((_, found, _),) = read(str(tmp_path / "img"))
    assert found["translate"] == (0.5, 0.5)
    assert "the scene that its transform starts from is not here" in notes()[0]


# What is left out, with a note


def test_damaged_and_missing_images_are_left_out(tmp_path, notes):
    uri = make_scene(tmp_path / "s", dict.fromkeys(["a", "b", "c"], SCALE))
    shutil.rmtree(f"{uri}/img/a")
    shutil.rmtree(f"{uri}/img/b/level0")
    assert list(by_name(read(uri))) == ["c"]
    (note,) = notes()
    assert note.startswith(f"Of {uri!r}, this is left out: 'img/a': Nothing is stored")
    assert "'b': " in note


def test_images_napari_cannot_show_are_left_out(tmp_path, notes):
    uri = make_scene(tmp_path / "s", {"good": SCALE})
    with Scene.open(uri, "w") as scene:
        scene.add_new_multiscale_image(
            "when", "img", transform=None, type="datetime64[ms]", level_shape=(3, 9, 13)
        )
    assert list(by_name(read(uri))) == ["good"]
    assert "'when': The image's pixels are of type datetime64" in notes()[0]


def test_when_no_image_opens_it_is_an_error(tmp_path):
    uri = make_scene(tmp_path / "s", {"a": SCALE})
    shutil.rmtree(f"{uri}/img/a/level0")
    with pytest.raises(FormatError, match=r"No image in '.*s' can be shown.*level0"):
        read(uri)


@pytest.mark.parametrize("make_img", [True, False], ids=["empty img", "no img"])
def test_a_scene_without_images_is_an_error(tmp_path, make_img):
    uri = str(tmp_path / "s")
    with Scene.create(uri, coordinate_space=UM) as scene:
        if make_img:
            scene.add_new_collection("img")
    with pytest.raises(UnsupportedError, match=r"no images in '.*s'.*'img' collection"):
        read(uri)


def test_a_scene_of_points_says_so(golden, tmp_path):
    uri = f"{golden}/scene.soma/obsl"
    with pytest.raises(UnsupportedError, match=r"'loc' \(SOMAPointCloudDataFrame\)"):
        read(uri)


def test_an_experiment_without_scenes_is_an_error(tmp_path):
    uri = str(tmp_path / "e")
    Collection.create(uri).close()
    with tiledb.Group(uri, "w") as group:
        group.meta["soma_object_type"] = "SOMAExperiment"
    with pytest.raises(UnsupportedError, match="has no 'spatial' collection"):
        read(uri)


def test_a_collection_that_holds_itself_ends(tmp_path):
    uri = make_scene(tmp_path / "s", {"a": SCALE})
    with tiledb.Group(f"{uri}/img", "w") as group:
        group.add("..", name="up", relative=True)
    layers = read_layers(OpenRequest(uri, allow_outside=True))
    assert list(by_name(layers)) == ["a"]


def test_many_images_are_cut_off(tmp_path, notes, monkeypatch):
    monkeypatch.setattr("napari_msimage.plugin._scene_walk.MAX_IMAGES", 2)
    monkeypatch.setattr("napari_msimage.plugin._open_scene.MAX_IMAGES", 2)
    uri = make_scene(tmp_path / "s", dict.fromkeys("abc", SCALE))
    assert list(by_name(read(uri))) == ["a", "b"]
    assert "the first 2 images were opened; 2 at most" in notes()[-1]


# Several scenes


def make_scenes(uri, **spaces):
    with Collection.create(str(uri)) as spatial:
        for key, space in spaces.items():
            scene = spatial.add_new_collection(key, Scene, coordinate_space=space)
            scene.add_new_collection("img")
            add(
                scene,
                "a",
                IdentityTransform(space.axis_names, space.axis_names),
                coordinate_space=space.axis_names,
                level_shape=(7, 9, 13)[3 - len(space) :],
            )
    return str(uri)


def test_the_first_of_several_scenes_is_shown(tmp_path, notes):
    mm = CoordinateSpace((Axis("x", "mm"), Axis("y", "mm")))
    uri = make_scenes(tmp_path / "c", first=UM, second=UM, third=mm)
    layers = by_name(read(uri))
    assert list(layers) == ["first a", "second a", "third a"]
    assert [a["visible"] for a in layers.values()] == [True, False, False]
    assert {a["units"] for a in layers.values()} == {("micrometer", "micrometer")}
    assert layers["third a"]["scale"] == pytest.approx((1000, 1000))
    (note,) = notes()
    assert "has 3 scenes" in note
    assert "'first' is shown; 'second' and 'third' are hidden" in note


def test_the_next_scene_is_shown_if_the_first_is_damaged(tmp_path, notes):
    uri = make_scenes(tmp_path / "c", first=UM, second=UM)
    shutil.rmtree(f"{uri}/first/img/a/level0")
    ((_, found, _),) = read(uri)
    assert (found["name"], found["visible"]) == ("second a", True)
    assert "left out: 'first a': " in notes()[0]


def test_scenes_that_do_not_go_together_are_named(tmp_path, notes):
    plain = CoordinateSpace.from_axis_names(XY)
    volume = CoordinateSpace.from_axis_names(("x", "y", "z"))
    uri = make_scenes(tmp_path / "c", first=UM, second=plain, third=volume)
    assert list(by_name(read(uri))) == ["a"]
    (note,) = notes()
    assert "the scene 'second' has other axes or units" in note
    assert f"{uri}/third" in note


# Elsewhere


@pytest.fixture
def scattered(tmp_path):
    """Return a scene with an image beside its folder, and a level of another one."""
    uri = make_scene(tmp_path / "s", {"a": SCALE})
    with MultiscaleImage.create(
        str(tmp_path / "far"), type="uint8", level_shape=(3, 9, 13)
    ) as image:
        fill(image)
    with Scene.open(uri, "w") as scene:
        with MultiscaleImage.open(str(tmp_path / "far")) as image:
            scene.img["far"] = image
        add(scene, "b", SCALE, level_uri=str(tmp_path / "level"))
    return uri


def test_what_lies_outside_needs_consent(scattered):
    with pytest.raises(ConsentError, match=r"'img/far' at .*allow_outside") as caught:
        read(scattered)
    assert set(caught.value.members) == {"img/far", "img/b/level0"}
    layers = read_layers(OpenRequest(scattered, allow_outside=True))
    assert set(by_name(layers)) == {"a", "b", "far"}


def test_links_that_leave_the_scene_count_as_outside(tmp_path):
    uri = make_scene(tmp_path / "s", {"a": SCALE})
    shutil.move(f"{uri}/img", tmp_path / "moved")
    (tmp_path / "s" / "img").symlink_to(tmp_path / "moved")
    with pytest.raises(ConsentError, match="'img' at"):
        read(uri)


# Opening again


def test_layers_know_their_own_image(tmp_path):
    uri = make_scene(tmp_path / "s", {"a b": AFFINE})
    (layer,) = read_layers(OpenRequest(uri))
    entry = layer[1]["metadata"]["napari_msimage"]
    assert entry["uri"] == f"{uri}/img/a%20b"
    assert entry["image_name"] == "a b"
    shown = as_layer(layer)
    _, request = request_of(shown)
    assert image_of_layer(shown).name == "a b"
    assert image_of_layer(shown) == image_of_layer(shown)
    ((_, again, _),) = read_layers(request)
    for name in ("scale", "translate", "affine", "units", "axis_labels", "name"):
        np.testing.assert_array_equal(again[name], layer[1][name])


def test_rgb_is_for_the_images_that_can(tmp_path, notes):
    uri = make_scene(tmp_path / "s", {"gray": SCALE})
    with Scene.open(uri, "w") as scene:
        add(scene, "rgb", SCALE, level_shape=(3, 9, 13), has_channel_axis=True)
    layers = by_name(read_layers(OpenRequest(uri, rgb=True)))
    assert [layers["gray"]["rgb"], layers["rgb"]["rgb"]] == [False, True]
    assert "'gray': An image of 1 channels" in notes()[0]
    assert len(read_layers(OpenRequest(uri))) == 4


def test_the_past_of_a_scene(tmp_path):
    uri = str(tmp_path / "s")
    with Scene.create(uri, coordinate_space=UM, tiledb_timestamp=1000) as scene:
        scene.add_new_collection("img")
        add(scene, "a", SCALE)
    with Scene.open(uri, "w", tiledb_timestamp=2000) as scene:
        add(scene, "b", SCALE)
        scene.set_transform_to_multiscale_image("a", transform=AFFINE)
    then = by_name(read_layers(OpenRequest(uri, tiledb_timestamp=1500)))
    assert {key: a["scale"] for key, a in then.items()} == {"a": (4.0, 2.0)}
    assert len(read_layers(OpenRequest(uri))) == 2


def test_damaged_scenes_say_what_is_wrong(tmp_path):
    uri = make_scene(tmp_path / "s", {"a": SCALE})
    with tiledb.Group(uri, "w") as group:
        group.meta["soma_coordinate_space"] = "[{"
    with pytest.raises(SOMAError, match="soma_coordinate_space"):
        read(uri)


def test_hints_of_images_in_a_scene(tmp_path, notes):
    uri = make_scene(tmp_path / "s", {"a": SCALE, "b": SCALE})
    write_hints(f"{uri}/img/a", make_hints([{"name": "DAPI", "colormap": "blue"}]))
    with MultiscaleImage.open(f"{uri}/img/b", "w") as image:
        image.metadata["napari_msimage"] = "{"
    layers = by_name(read(uri))
    assert layers["a DAPI"]["colormap"] == "blue"
    assert "b" in layers
    assert "Bad display hints" in notes()[0]
