"""What is filled in to export regions: numbers, endings, names, images to choose."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_msimage.engines import ExportSource, ImageRegion
from napari_msimage.errors import ArgumentError
from napari_msimage.plugin._export_bounds import bounds_in_words
from napari_msimage.plugin._export_preview import preview_export, take_snapshot
from napari_msimage.plugin._export_settings import ENDINGS, NEW_LAYER
from napari_msimage.plugin._export_wish import (
    SELECTED,
    ExportWish,
    format_of_ending,
    free_place,
    number_of,
    source_of_layer,
    sources_in,
    with_ending,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [("12.5", 12.5), (" 4 000 000 ", 4e6), ("4_000", 4000), ("1e6", 1e6), ("", None)],
)
def test_typed_numbers_are_read(text, number):
    assert number_of(text, "The size") == number


def test_what_is_no_number_is_told_with_its_place():
    with pytest.raises(ArgumentError, match=r"The size is 'wide', which is no number"):
        number_of("wide", "The size")


@pytest.mark.parametrize(
    ("path", "target", "expected"),
    [
        ("a/b.ome.tif", "png", "a/b.png"),
        ("a/b.TIFF", "ome-tiff", "a/b.TIFF"),
        ("a/b.v2", "npy", "a/b.v2.npy"),
        ("s3://bucket/b.png", "soma", "s3://bucket/b.soma"),
        ("a/b.ome.zarr/", "ome-tiff", "a/b.ome.tif"),
        ("", "png", ""),
        ("a/b.png", NEW_LAYER, "a/b.png"),
    ],
)
def test_the_ending_follows_the_format(path, target, expected):
    assert with_ending(path, target) == expected


@given(st.sampled_from(sorted(ENDINGS)), st.lists(st.sampled_from(sorted(ENDINGS))))
def test_changing_formats_to_and_fro_leaves_the_name(first, others):
    path = f"folder/my.sample{ENDINGS[first]}"
    changed = path
    for target in [*others, first]:
        changed = with_ending(changed, target)
        assert format_of_ending(changed) == target
    assert changed == path


def test_a_destination_without_ending_gets_one():
    assert ExportWish(destination=" a/b ", format="png").place == "a/b.png"
    assert ExportWish(destination="a/b.png", format="png").place == "a/b.png"
    assert ExportWish(destination="a/", format="png").place == "a/"


def test_proposed_places_are_free(tmp_path):
    folder = str(tmp_path)
    assert free_place(folder, "a/b.soma", "png") == f"{folder}/a_b.png"
    (tmp_path / "a_b.png").touch()
    assert free_place(folder, "a/b.soma", "png") == f"{folder}/a_b-2.png"
    assert free_place(folder, "x", "npy", fields="_{index}").endswith("/x_{index}.npy")


# Images to choose from ------------------------------------------------------------


class Layer:
    """What the choice of images needs of a layer."""

    def __init__(self, name, image_id=None, kind="image"):
        entry = {"image_id": image_id, "image_name": "liver"}
        self.name, self._type_string = name, kind
        self.metadata = {"napari_msimage": entry} if image_id else {}


def test_channels_of_one_image_are_one_choice():
    a, b, other = Layer("liver a", "1"), Layer("liver b", "1"), Layer("other")
    shapes = Layer("drawn", kind="shapes")
    found = sources_in([a, other, shapes, b])
    assert [choice.name for choice in found] == ["other", "liver (2 channels)"]
    assert found[1].layers == (a, b)
    assert source_of_layer(found, b) is found[1]
    assert source_of_layer(found, shapes) is None


def test_selected_layers_can_be_channels():
    a, b, c = map(Layer, "abc")
    found = sources_in([a, b, c], [a, b])
    assert (found[-1].key, found[-1].layers) == (SELECTED, (a, b))
    assert [choice.key for choice in sources_in([a, b, c], [a])].count(SELECTED) == 0


# Bounds and previews --------------------------------------------------------------


def source(shape=(90, 130), to_world=None):
    matrix = np.eye(len(shape) + 1) if to_world is None else to_world
    pixels = np.zeros(shape, np.uint8)
    return ExportSource("demo", (pixels,), ("y", "x"), matrix, ("micrometer",) * 2)


def test_bounds_are_whole_pixels_around_the_region():
    region = ImageRegion((1.2, 3.0), (4.0000000001, 9.5))
    names, lower, upper = bounds_in_words(source(), region, is_world=False)
    assert (names, lower, upper) == (("x", "y"), ("3", "1"), ("10", "4"))


def test_bounds_in_world_units_are_those_of_these_pixels():
    matrix = np.array([[0.5, 0, 10], [0, 0.5, 20], [0, 0, 1]])
    region = ImageRegion((2, 4), (6, 8))
    _, lower, upper = bounds_in_words(source(to_world=matrix), region, is_world=True)
    assert (lower, upper) == (("22", "11"), ("24", "13"))


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    levels = [np.zeros((90, 130), np.uint8), np.zeros((45, 65), np.uint8)]
    viewer.add_image(levels, name="liver", scale=(0.5, 0.5), units="micrometer")
    return viewer


def preview(viewer, shapes=None, **wish):
    layers = [x for x in viewer.layers if x._type_string == "image"]
    return preview_export(take_snapshot(viewer, layers, shapes, ExportWish(**wish)))


def test_a_preview_has_levels_and_a_plan(viewer, tmp_path):
    place = str(tmp_path / "cut")
    found = preview(viewer, region="whole", level=1, format="npy", destination=place)
    assert found.can_run
    assert found.error is None
    assert [row.shapes for row in found.rows] == [((90, 130),), ((45, 65),)]
    assert [row.nbytes for row in found.rows] == [90 * 130, 45 * 65]
    assert [row.pixel_size for row in found.rows] == [(0.5, 0.5), (1.0, 1.0)]
    assert found.level == 1
    assert found.plan.paths == (f"{place}.npy", f"{place}.npy.json")


@pytest.mark.parametrize(
    ("choice", "number", "level"),
    [
        ("size", "0.6", 0),
        ("size", "0.9", 1),
        ("pixels", "3 000", 1),
        ("pixels", "1e9", 0),
    ],
)
def test_levels_are_found_by_size_and_number(viewer, choice, number, level):
    found = preview(
        viewer, region="whole", level=choice, level_number=number, format=NEW_LAYER
    )
    assert found.level == level


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"destination": ""}, "Enter where the file shall be"),
        ({"level": "size"}, "Type a pixel size above 0"),
        ({"level": "pixels", "level_number": "-4"}, "Type a number of pixels above 0"),
        ({"level": "pixels", "level_number": "7"}, "more than 7"),
        ({"region": "shapes"}, "There is no Shapes layer"),
        ({"region": "pixels", "lower": ("nan", ""), "upper": ("", "")}, "not finite"),
        ({"region": "pixels", "lower": ("9", ""), "upper": ("9", "")}, "no extent"),
        ({"region": "pixels", "lower": ("", "999"), "upper": ("", "")}, "reversed"),
        ({"region": "world", "lower": ("", "500"), "upper": ("", "600")}, "outside"),
        ({"region": "pixels", "lower": ("a", ""), "upper": ("", "")}, "no number"),
        ({"fill_value": "x"}, "no number"),
        ({"mask": "fill", "fill_value": "300"}, "fill value 300 does not fit"),
        ({"destination": "{folder}"}, "is a folder"),
        ({"destination": "{folder}/no/x.npy"}, "does not exist"),
        ({"destination": "{folder}/a\x01.npy"}, "control characters"),
        ({"destination": "s3://bucket/x.npy"}, "local folders"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_told_in_words(viewer, tmp_path, wish, words):
    place = wish.get("destination", "{folder}/x.npy").replace("{folder}", str(tmp_path))
    asked = {"region": "whole", "format": "npy", **wish, "destination": place}
    found = preview(viewer, **asked)
    assert not found.can_run
    assert words in str(found.error)
    assert "overwrite" not in str(found.error)


def test_what_was_found_is_kept_when_the_place_is_refused(viewer):
    found = preview(viewer, region="whole", format="npy", destination="")
    assert found.error is not None
    assert len(found.rows) == 2
    assert found.segments is not None


def test_without_layers_there_is_an_error():
    found = preview(ViewerModel(), region="whole")
    assert "No layer is given" in str(found.error)


def test_a_level_that_is_larger_than_the_disk_is_shown_and_refused(tmp_path):
    class Huge:
        shape, dtype, ndim, size = (2**21, 2**20), np.dtype("u1"), 2, 2**41

        def __getitem__(self, key):
            return np.zeros((1, 1), np.uint8)

    snapshot = take_snapshot(
        ViewerModel(),
        [],
        None,
        ExportWish(region="whole", format="npy", destination=str(tmp_path / "x")),
    )
    parts = (Huge(), {"name": "huge", "multiscale": False}, "image")
    found = preview_export(dataclasses.replace(snapshot, layers=(parts,)))
    assert found.rows[0].nbytes == 2**41
    assert found.rows[0].file_bytes == 2**41 + 1024
    assert "Too little space" in str(found.error)


def test_files_that_exist_are_named(viewer, tmp_path):
    place = tmp_path / "cut.npy"
    place.touch()
    found = preview(viewer, region="whole", format="npy", destination=str(place))
    assert found.can_run
    assert found.existing == (str(place),)


@pytest.mark.parametrize(
    ("first", "last", "n_planes"),
    [("", "", 6), ("2", "", 4), ("", "3", 4), ("2", "3", 2), ("5", "5", 1)],
)
def test_planes_are_counted_from_first_to_last(first, last, n_planes):
    viewer = ViewerModel()
    viewer.add_image(np.zeros((6, 20, 30), np.uint8), name="stack")
    found = preview(
        viewer, level=0, format=NEW_LAYER, planes="range", plane_range=(first, last)
    )
    assert found.error is None
    assert found.rows[0].shapes[0][0] == n_planes


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("2.5", "", "whole numbers"),
        ("nan", "", "whole numbers"),
        ("", "inf", "whole numbers"),
        ("4", "2", "The last plane, 2, lies before the first one, 4"),
        ("0", "6", "has [0, 6)"),
        ("x", "", "The first plane is 'x'"),
    ],
)
def test_planes_that_make_no_sense(first, last, words):
    viewer = ViewerModel()
    viewer.add_image(np.zeros((6, 20, 30), np.uint8), name="stack")
    found = preview(
        viewer, level=0, format=NEW_LAYER, planes="range", plane_range=(first, last)
    )
    assert words in str(found.error)


def test_nan_can_be_the_fill_value(tmp_path):
    viewer = ViewerModel()
    viewer.add_image(np.zeros((20, 30), np.float32), name="ratio")
    found = preview(
        viewer,
        region="whole",
        level=0,
        format="npy",
        mask="fill",
        fill_value="nan",
        destination=str(tmp_path / "x"),
    )
    assert found.error is None
    assert np.isnan(found.plan.options.fill_value)


def test_several_shapes_are_several_files(viewer, tmp_path):
    shapes = viewer.add_shapes(
        [np.array([[0, 0], [10, 20]]), np.array([[5, 5], [15, 30]])], name="drawn"
    )
    # world 0 is the centre of the first pixel: half of it, and of the last, are cut
    place = str(tmp_path / "cut_{index}.npy")
    found = preview(viewer, shapes, region="shapes", format="npy", destination=place)
    assert [file.shape for file in found.plan.files] == [(21, 41), (21, 51)]
    assert found.notes[0] == "2 files, one per region: cut_1.npy, cut_2.npy."
    assert found.rows[0].shapes == ((21, 41), (21, 51))


# The outline on the canvas --------------------------------------------------------


def rings(found):
    """Return the corners of each rectangle on the canvas."""
    return found.segments[:, 0].reshape(-1, 4, 2)


def test_the_outline_is_that_of_whole_pixels_of_the_level(viewer):
    wish = {"region": "pixels", "lower": ("3", "4"), "upper": ("9", "11")}
    (ring,) = rings(preview(viewer, **wish, level=1, format=NEW_LAYER))
    # level 1: rows 1 to 4 and columns 2 to 5, 1 um each, half a pixel of level 0 less
    np.testing.assert_allclose(ring.min(axis=0), (1 * 1 - 0.25, 2 * 1 - 0.25))
    np.testing.assert_allclose(ring.max(axis=0), (5 * 1 - 0.25, 6 * 1 - 0.25))


def test_other_planes_have_no_outline():
    viewer = ViewerModel()
    viewer.add_image(np.zeros((6, 20, 30), np.uint8), name="stack")
    viewer.dims.set_point(0, 2)
    wish = {"region": "pixels", "format": NEW_LAYER, "level": 0}
    inside = preview(viewer, **wish, lower=("1", "", ""), upper=("4", "", ""))
    assert len(rings(inside)) == 1
    outside = preview(viewer, **wish, lower=("3", "", ""), upper=("4", "", ""))
    assert not len(outside.segments)


def test_in_3d_the_outline_is_a_box():
    viewer = ViewerModel(ndisplay=3)
    viewer.add_image(np.zeros((6, 20, 30), np.uint8), name="stack")
    wish = {"region": "pixels", "format": NEW_LAYER, "level": 0}
    found = preview(viewer, **wish, lower=("1", "2", "3"), upper=("4", "5", "6"))
    assert found.segments.shape == (12, 2, 3)
    np.testing.assert_allclose(found.segments.min(axis=(0, 1)), (0.5, 1.5, 2.5))
    np.testing.assert_allclose(found.segments.max(axis=(0, 1)), (3.5, 4.5, 5.5))
