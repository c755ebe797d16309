"""What the "Save as SOMA image" form makes of layers: axes, storage, places, words."""

from __future__ import annotations

import numpy as np
import pytest
import tiledb
from napari.layers import Image, Labels, Points

from napari_msimage.coordinates import Axis
from napari_msimage.engines import ImageToWrite, SceneToWrite, run
from napari_msimage.errors import SOMAError
from napari_msimage.plugin import _save_preview, write_layers
from napari_msimage.plugin._layer_source import WRITTEN_TYPES
from napari_msimage.plugin._placement import transform_to_matrix
from napari_msimage.plugin._save_axes import axes_of, with_axes
from napari_msimage.plugin._save_plan import plan_to_save, save_layers
from napari_msimage.plugin._save_preview import preview_save
from napari_msimage.plugin._save_wish import (
    SAVED_TYPES,
    AxesWish,
    SaveWish,
    parts_of_layer,
    storage_config,
)
from napari_msimage.storage import Collection, MultiscaleImage, Scene

RNG = np.random.default_rng(5)
YX = RNG.integers(1, 99, (97, 130)).astype("uint8")
ZYX = RNG.integers(1, 99, (3, 97, 130)).astype("uint8")
MICRONS = {"scale": (0.5, 0.25), "translate": (10, 20), "units": "um"}


def image(name="a", data=YX, **attributes):
    return (data, {"name": name, **attributes}, "image")


def matrices(what):
    """Return napari's data-to-world matrix of each image of a scene."""
    return {key: transform_to_matrix(t) for key, t in what.transforms.items()}


def axes(names=(), sizes=(), unit=""):
    return SaveWish(axes=AxesWish(names, sizes, unit))


def test_saved_types_are_those_that_are_written():
    assert SAVED_TYPES == WRITTEN_TYPES


# Snapshots of layers


def test_a_layer_is_taken_as_it_is_without_its_pixels():
    layer = Image([YX, YX[::2, ::2]], name="a", multiscale=True, scale=(2, 3))
    data, attributes, kind = parts_of_layer(layer)
    assert data is layer.data
    assert (attributes["name"], kind) == ("a", "image")
    assert attributes["data_level"] == layer.data_level
    assert tuple(attributes["scale"]) == (2, 3)


def test_of_other_layers_there_is_only_the_name():
    parts = parts_of_layer(Points(np.zeros((2, 2)), name="spots"))
    assert parts == (None, {"name": "spots"}, "points")


# Axes


def test_axes_are_in_the_order_of_coordinates():
    found = axes_of(image(axis_labels=("row", "column"), **MICRONS), None)
    assert found.names == ("column", "row")
    assert found.size_texts == ("0.25", "0.5")
    assert found.unit_text == "micrometer"
    assert not found.is_turned


def test_different_units_are_listed():
    found = axes_of(image("a", ZYX, units=("s", "um", "um")), None)
    assert found.unit_text == "micrometer, micrometer, second"


def test_a_channel_axis_is_none_of_them():
    found = axes_of(image("a", ZYX, scale=(7, 2, 3)), 0)
    assert (found.names, found.sizes) == (("x", "y"), (3, 2))


def test_pixel_sizes_of_a_turned_layer_are_lengths():
    found = axes_of(image(scale=(2, 3), rotate=30), None)
    assert found.sizes == pytest.approx((3, 2))
    assert found.is_turned


def test_nothing_filled_in_changes_nothing():
    layers = [image(**MICRONS)]
    assert with_axes(layers, AxesWish(), None) == layers


def test_the_same_sizes_change_nothing():
    third = image(scale=(1 / 3, 1 / 7))
    texts = axes_of(third, None).size_texts
    one, other = (
        plan_to_save([third], w).what for w in (SaveWish(), axes(sizes=texts))
    )
    np.testing.assert_array_equal(matrices(one)["a"], matrices(other)["a"])


def test_another_pixel_size_scales_the_place():
    what = plan_to_save([image(**MICRONS)], axes(sizes=("0.5", "0.5"))).what
    expected = [[0.5, 0, 10], [0, 0.5, 40], [0, 0, 1]]
    np.testing.assert_allclose(matrices(what)["a"], expected)
    units = [axis.unit for axis in what.coordinate_space.axes]
    assert units == ["micrometer", "micrometer"]


def test_a_pixel_size_of_1_makes_it_an_image():
    what = plan_to_save([image(scale=(2, 3))], axes(sizes=("1", "1"))).what
    assert isinstance(what, ImageToWrite)


def test_other_layers_of_that_world_move_along():
    other = image("b", YX[::2, ::2], scale=(1000, 500), translate=(250, 0), units="nm")
    before = matrices(plan_to_save([image(**MICRONS), other], SaveWish()).what)
    what = plan_to_save(
        [image(**MICRONS), other], axes(sizes=("1", "0.5"), unit="mm")
    ).what
    after = matrices(what)
    scaling = np.diag([1, 4, 1])
    for key in ("a", "b"):
        np.testing.assert_allclose(after[key], scaling @ before[key])
    assert what.coordinate_space.axes == (
        Axis("x", "millimeter"),
        Axis("y", "millimeter"),
    )


def test_layers_of_another_world_are_left_alone():
    pixels = image("a", scale=(1, 1))
    microns = image("b", **MICRONS)
    what = plan_to_save([pixels, microns], axes(sizes=("0.5", "0.5"), unit="um")).what
    np.testing.assert_allclose(matrices(what)["a"], np.diag([0.5, 0.5, 1]))
    np.testing.assert_allclose(matrices(what)["b"][0], [0.5, 0, 10])


@pytest.mark.parametrize(
    "turned",
    [
        {"rotate": 30, "translate": (5, 6)},
        {"shear": [0.2]},
        {"affine": [[1, 0.5, 3], [0, 1, 4], [0, 0, 1]]},
    ],
    ids=["rotate", "shear", "affine"],
)
def test_a_turned_layer_is_scaled_as_a_whole(turned):
    layer = image(scale=(2, 2), **turned)
    sizes = tuple(f"{3 * size!r}" for size in axes_of(layer, None).sizes)
    before = matrices(plan_to_save([layer], SaveWish()).what)["a"]
    after = matrices(plan_to_save([layer], axes(sizes=sizes)).what)["a"]
    np.testing.assert_allclose(after, np.diag([3, 3, 1]) @ before, atol=1e-12)


def test_a_turned_layer_on_a_straight_one_moves_along():
    turned = image("b", rotate=30, **MICRONS)
    layers = [image(**MICRONS), turned]
    before = matrices(plan_to_save(layers, SaveWish()).what)["b"]
    after = matrices(plan_to_save(layers, axes(sizes=("0.75", "0.5"))).what)["b"]
    np.testing.assert_allclose(after, np.diag([1, 3, 1]) @ before, atol=1e-12)


def test_axes_beside_a_channel_axis():
    wish = SaveWish(
        axes=AxesWish(("column", "row"), ("0.5", "2"), "um"), channel_axis=1
    )
    layer = image("a", np.moveaxis(ZYX, 0, 1), scale=(1, 1, 1))
    what = plan_to_save([layer], wish).what
    assert what.coordinate_space.axes == (
        Axis("column", "micrometer"),
        Axis("row", "micrometer"),
    )
    (one,) = what.images.values()
    assert one.data_axis_order == ("row", "soma_channel", "column")
    np.testing.assert_allclose(matrices(what)["a"], np.diag([2, 0.5, 1]))


def test_an_axis_may_be_called_channel():
    wish = SaveWish(axes=AxesWish(("channel", "y")), channel_axis=0)
    what = plan_to_save([image("a", ZYX)], wish).what
    assert what.data_axis_order == ("soma_channel", "y", "channel")


def test_texts_for_other_axes_are_ignored():
    wish = axes(("a", "b", "c"), ("1", "2", "3"))
    assert plan_to_save([image()], wish).what.data_axis_order == ("y", "x")


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (axes(("x", "x")), "Give each axis its own name"),
        (axes(("x", " ")), "cannot be the name of an axis"),
        (axes(("x", "soma_y")), "do not start with 'soma_'"),
        (axes(sizes=("0", "1")), "'0' along x is no number above 0"),
        (axes(sizes=("1", "-2")), "'-2' along y is no number above 0"),
        (axes(sizes=("1", "nan")), "'nan' along y is no number above 0"),
        (axes(sizes=("1", "two")), "'two' along y is no number above 0"),
        (axes(unit="parsnip"), "The unit 'parsnip' is not known"),
        (axes(unit="2 * um"), "is not known"),
        (axes(unit="um, um, um"), "3 units for 2 axes"),
    ],
)
def test_axes_that_make_no_sense(wish, sentence):
    with pytest.raises(SOMAError, match=sentence):
        plan_to_save([image()], wish)


def test_a_turned_layer_has_no_other_ratio_of_sizes():
    with pytest.raises(SOMAError, match="Set the layer's own scale"):
        plan_to_save([image(rotate=30)], axes(sizes=("1", "2")))


def test_sizes_whose_squares_are_0_are_sizes():
    layer = image(scale=(1e-200, 1))
    assert axes_of(layer, None).size_texts == ("1", "1e-200")
    what = plan_to_save([layer], axes(sizes=("1", "1e-3"))).what
    np.testing.assert_allclose(matrices(what)["a"], np.diag([1e-3, 1, 1]))


@pytest.mark.parametrize("text", ["1,500", "12,345"])
def test_commas_that_may_be_thousands_are_refused(text):
    with pytest.raises(SOMAError, match=r"read in two ways. Enter \d+\.\d+ or \d+\."):
        plan_to_save([image()], axes(sizes=(text, "1")))


@pytest.mark.parametrize("unit", ["Micrometer", "MICROMETER", "UM"])
def test_units_are_known_in_any_case(unit):
    what = plan_to_save([image(**MICRONS)], axes(unit=unit)).what
    assert [axis.unit for axis in what.coordinate_space.axes] == ["micrometer"] * 2


def test_units_that_differ_only_in_case_stay_different():
    what = plan_to_save([image(**MICRONS)], axes(unit="Mm")).what
    assert [axis.unit for axis in what.coordinate_space.axes] == ["megameter"] * 2


def test_decimal_commas_are_understood():
    what = plan_to_save([image()], axes(sizes=("0,125", "0.125"))).what
    np.testing.assert_allclose(matrices(what)["a"], np.diag([0.125, 0.125, 1]))


# Words


@pytest.mark.parametrize(
    ("layers", "wish", "sentence"),
    [
        ([], {}, "Tick the layers"),
        ([(None, {"name": "spots"}, "points")], {}, "'spots' cannot be saved"),
        ([image("a", np.zeros((2, 3, 4, 5, 6)))], {}, "5 axes"),
        ([image("a", np.zeros((2, 3, 40, 50)))], {}, "choose it under Channels"),
        (
            [image("a"), image("b", YX.astype("uint16"))],
            {"as_channels": True},
            "as separate images",
        ),
        (
            [image("a"), image("b", np.zeros((97, 130, 3), "uint8"), rgb=True)],
            {"as_channels": True},
            "as separate images",
        ),
        (
            [image("a", [YX, YX[::2, ::2]], multiscale=True)],
            {"levels": 2},
            "Choose another one under Levels",
        ),
        ([image("a", np.zeros((4, 0)))], {}, "has no pixels"),
        ([image("a", YX.astype(complex))], {}, "complex"),
        ([image("a"), image("b", ZYX)], {}, "same axes"),
        ([image("a"), image("b", **MICRONS)], {}, "Untick one of them"),
        ([image("a", scale=(1, 0))], {}, "singular"),
        ([image("a", translate=(1, np.nan))], {}, "not finite"),
    ],
)
def test_what_is_wrong_with_layers_is_told_in_the_words_of_the_form(
    layers, wish, sentence
):
    with pytest.raises(SOMAError, match=sentence) as caught:
        plan_to_save(layers, SaveWish(**wish))
    assert "channels=" not in str(caught.value)
    assert "channel_axis" not in str(caught.value)
    assert "layer.units" not in str(caught.value)


# Storage


@pytest.mark.parametrize("shape", [(600, 700), (3, 140, 150), (3, 2, 40, 50)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_exchange_stores_as_tiledbsoma_would(tmp_path, shape, dtype):
    pixels = RNG.integers(0, 99, shape).astype(dtype)
    wish = SaveWish(
        str(tmp_path / "a.soma"),
        channel_axis=0 if len(shape) > 2 else None,
        storage="exchange",
    )
    (uri,) = run(save_layers([image("a", pixels)], wish))
    schema = tiledb.ArraySchema.load(f"{uri}/level0")
    extent = {2: 512, 3: 128, 4: 4}[len(shape)]
    assert [int(dim.tile) for dim in schema.domain] == [extent] * len(shape)
    (one,) = schema.attr("soma_data").filters
    assert (type(one).__name__, one.level) == ("ZstdFilter", -1)
    with MultiscaleImage.open(uri) as stored:
        np.testing.assert_array_equal(np.asarray(stored.level_array(0)), pixels)


@pytest.mark.parametrize(
    ("itemsize", "shuffle"), [(1, "BitShuffleFilter"), (4, "ByteShuffleFilter")]
)
def test_small_is_smaller_and_keeps_our_tiles(tmp_path, itemsize, shuffle):
    steps = RNG.integers(0, 3, (700, 800)).cumsum(axis=1)
    pixels = steps.astype("uint8" if itemsize == 1 else "int32")
    sizes = {}
    for storage in ("fast", "small"):
        wish = SaveWish(str(tmp_path / storage), storage=storage, more_levels=False)
        (uri,) = run(save_layers([image("a", pixels)], wish))
        files = [p for p in (tmp_path / storage).rglob("*") if p.is_file()]
        sizes[storage] = sum(path.stat().st_size for path in files)
    assert sizes["small"] < sizes["fast"]
    filters = tiledb.ArraySchema.load(f"{uri}/level0").attr("soma_data").filters
    assert [type(one).__name__ for one in filters] == [shuffle, "ZstdFilter"]
    fast, small = (
        tiledb.ArraySchema.load(f"{tmp_path}/{name}/level0") for name in sizes
    )
    assert [d.tile for d in fast.domain] == [d.tile for d in small.domain]


def test_fast_is_what_we_do_anyway():
    assert storage_config("fast", 3, 1) is None


def test_every_image_of_a_scene_is_stored_for_its_own_type():
    layers = [image("a"), (YX.astype("int32"), {"name": "b"}, "labels")]
    what = plan_to_save(layers, SaveWish(storage="small")).what
    assert isinstance(what, SceneToWrite)
    first = [
        one.platform_config["tiledb"]["create"]["attrs"]["soma_data"]["filters"][0]
        for one in what.images.values()
    ]
    assert first == ["BitShuffleFilter", "ByteShuffleFilter"]


# The preview


def preview(place, *layers, shown=(), **wish):
    return preview_save(layers or [image()], SaveWish(str(place), **wish), dict(shown))


def test_a_preview_says_all_and_leaves_nothing(tmp_path):
    layers = [image("a", YX > 50), (None, {"name": "spots"}, "points")]
    found = preview(tmp_path / "a.soma", *layers)
    assert found.can_run
    assert found.place == "free"
    assert found.makes_levels
    assert found.axes.names == ("x", "y")
    assert found.free_bytes > 0
    assert found.store_plan.nbytes == YX.size
    assert found.notes == (
        "The image layer 'a' is stored with bool pixels as uint8; no value changes.",
        "Not saved: 'spots' (points).",
    )
    assert list(tmp_path.iterdir()) == []


def test_many_notes_are_cut_short(tmp_path):
    layers = [image(f"m{i}", i < YX) for i in range(9)]
    found = preview(tmp_path / "a.soma", *layers)
    assert len(found.notes) == 5
    assert found.notes[-1] == "And 5 more notes of this kind."


def test_axes_are_known_although_something_is_wrong(tmp_path):
    found = preview(tmp_path / "a.soma", axes=AxesWish(unit="parsnip"))
    assert found.axes.unit_text == "pixel"
    assert not found.can_run


@pytest.fixture
def stored(tmp_path):
    """Return the address of an image that exists."""
    (uri,) = write_layers(str(tmp_path / "old.soma"), image())
    return uri


def test_an_image_that_is_there_is_replaced_only_if_asked(stored):
    found = preview(stored)
    assert (found.place, found.can_run, found.can_replace) == ("soma", False, True)
    assert "Choose another name, or tick 'Replace'" in str(found.error)
    assert preview(stored, replace=True).can_run
    with MultiscaleImage.open(stored) as image:
        assert image.level_count == 1


def test_what_is_on_the_screen_is_not_replaced(stored):
    shown = {f"file://{stored}": "old"}
    found = preview(stored, shown=shown, replace=True)
    assert "The layer 'old' shows what is to be replaced" in str(found.error)


def test_a_place_that_is_a_source_is_refused(stored):
    from napari_msimage.plugin._open import OpenRequest, read_layers

    (layer,) = read_layers(OpenRequest(stored))
    for place in (stored, f"{stored}/level0", f"{stored}/new"):
        found = preview(place, layer, replace=True)
        assert not found.can_run
        assert not found.can_replace
        assert stored in str(found.error)


def taken_file(folder):
    (folder / "a.soma").write_text("notes")
    return folder / "a.soma"


def taken_folder(folder):
    (folder / "a.soma" / "more").mkdir(parents=True)
    return folder / "a.soma"


def taken_link(folder):
    (uri,) = write_layers(str(folder / "old.soma"), image())
    (folder / "a.soma").symlink_to(uri)
    return folder / "a.soma"


def taken_collection(folder):
    Collection.create(str(folder / "a.soma")).close()
    return folder / "a.soma"


@pytest.mark.parametrize("make", [taken_file, taken_link, taken_collection])
def test_anything_else_is_never_replaced(tmp_path, make):
    found = preview(make(tmp_path), replace=True)
    assert found.place == "taken"
    assert not found.can_replace
    assert "which is not replaced. Choose another name" in str(found.error)


def test_a_folder_is_never_replaced_and_a_name_in_it_proposed(tmp_path):
    place = taken_folder(tmp_path)
    found = preview(place, replace=True)
    assert found.place == "taken"
    assert f"Add a name to save in it, such as '{place}/image.soma'" in str(found.error)


@pytest.mark.parametrize("part", ["level0", "new.soma", "level0/new.soma"])
def test_parts_of_an_image_are_not_offered_to_be_replaced(stored, part):
    for replace in (False, True):
        found = preview(f"{stored}/{part}", replace=replace)
        assert not found.can_run
        assert not found.can_replace
        assert "tick 'Replace'" not in str(found.error)


def test_images_of_a_scene_are_not_offered_to_be_replaced(tmp_path):
    (scene,) = write_layers(str(tmp_path / "scene.soma"), image(scale=(2, 2)))
    found = preview(f"{scene}/img/a")
    assert not found.can_replace
    assert "inside of the TileDB object" in str(found.error)


def test_a_file_is_no_folder_to_save_in(tmp_path):
    found = preview(taken_file(tmp_path) / "b.soma")
    assert "it is a file, no folder. Choose another place" in str(found.error)


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("", "Enter where to save"),
        ("/nowhere/at/all.soma", "does not exist"),
        ("bad\0name", "cannot be the name of a folder"),
        ("/tmp/" + "a" * 181, "at most 180 bytes"),
        ("s3://", "s3://"),
    ],
    ids=["empty", "no folder", "NUL", "long", "no bucket"],
)
def test_places_that_are_none(place, sentence):
    found = preview(place)
    assert not found.can_run
    assert sentence in str(found.error)


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(_save_preview.os, "access", lambda *_: False)
    found = preview(tmp_path / "a.soma")
    assert "cannot be written to. Choose another folder" in str(found.error)


def test_a_disk_without_room(tmp_path, monkeypatch):
    from types import SimpleNamespace

    monkeypatch.setattr(
        "napari_msimage.storage._staging.shutil.disk_usage",
        lambda _: SimpleNamespace(total=10, used=9, free=1),
    )
    assert "Too little space" in str(preview(tmp_path / "a.soma").error)


def test_other_stores_are_looked_at(monkeypatch):
    kinds = iter(["missing", "group"])
    monkeypatch.setattr(_save_preview, "kind_of", lambda *_: next(kinds))
    found = preview("s3://bucket/a.soma")
    assert (found.can_run, found.place, found.free_bytes) == (True, "free", None)
    found = preview("s3://bucket/a.soma")
    assert (found.place, found.can_replace) == ("taken", False)
    assert "already" in str(found.error)


# The run


def test_what_was_previewed_is_saved(tmp_path):
    layers = [parts_of_layer(Image(YX, name="a", scale=(2, 2)))]
    layers += [parts_of_layer(Labels(YX, name="cells"))]
    wish = SaveWish(str(tmp_path / "a.soma"), axes=AxesWish(unit="um"))
    assert preview_save(layers, wish, {}).can_run
    (uri,) = run(save_layers(layers, wish))
    with Scene.open(uri) as scene:
        assert list(scene.img) == ["a", "cells"]
        assert scene.coordinate_space.axes[0] == Axis("x", "micrometer")
