"""The button "Open result": layers in place, or a sentence that says why not."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from napari_msimage import samples
from napari_msimage.plugin import open_image

pytestmark = pytest.mark.gui

RNG = np.random.default_rng(6)
FORMATS = ("ome-tiff", "ome-zarr", "png", "npy", "soma")
PLACE = {"scale": (0.5, 0.5), "translate": (3, 4), "units": "micrometer"}


def noise(*shape, dtype="uint8"):
    return RNG.integers(1, 200, shape).astype(dtype)


@pytest.fixture
def export(form, qtbot):
    """Return a function that exports what is filled in, and returns the path."""

    def run(target="npy", region="whole", bounds=None):
        form.format.value = target
        form.place.region.value = region
        qtbot.waitUntil(lambda: not form.is_planning, timeout=10_000)
        for boxes, texts in zip(
            (form.place.lower, form.place.upper), bounds or ((), ()), strict=True
        ):
            for box, text in zip(boxes, texts, strict=bounds is not None):
                box.value = text
        qtbot.waitUntil(
            lambda: not form.is_planning and form.run.enabled, timeout=10_000
        )
        form.run.native.click()
        qtbot.waitUntil(lambda: not form.is_running, timeout=20_000)
        assert form.message.startswith("Exported"), form.message
        return form._written.files[0].path

    return run


@pytest.fixture
def opened(viewer, form, qtbot):
    """Return a function that opens the result and returns so many new layers."""

    def open_(n_layers=1):
        before = list(viewer.layers)
        n_after = len(before) + n_layers
        form.open_result.native.click()
        qtbot.waitUntil(
            lambda: len(viewer.layers) == n_after or form.is_message_error,
            timeout=10_000,
        )
        assert not form.is_message_error, form.message
        return [layer for layer in viewer.layers if layer not in before]

    return open_


@pytest.fixture
def refusal(viewer, form, qtbot):
    """Return a function that fails to open the result and returns what is said."""

    def open_():
        form.open_result.native.click()
        qtbot.waitUntil(lambda: form.is_message_error)
        return form.message

    return open_


def finest(layer):
    return np.asarray(layer.data[0] if layer.multiscale else layer.data)


def box_of(opened, before):
    """Return which pixels of a layer along the axes those of an opened layer are."""
    first = before.world_to_data(opened.data_to_world((0,) * opened.ndim))
    start = np.rint(first).astype(int)
    np.testing.assert_allclose(first, start, atol=1e-6)
    last = np.add(finest(opened).shape[: opened.ndim], -1)
    np.testing.assert_allclose(
        before.world_to_data(opened.data_to_world(last)), start + last
    )
    return tuple(slice(a, a + n + 1) for a, n in zip(start, last, strict=True))


# In place


@pytest.mark.parametrize("target", FORMATS)
def test_a_result_opens_where_it_came_from(viewer, export, opened, target):
    layer = viewer.add_image(noise(90, 130), name="liver", **PLACE)
    path = export(target, "pixels", (("20", "10"), ("60", "30")))
    (one,) = opened()
    np.testing.assert_array_equal(finest(one), layer.data[10:30, 20:60])
    np.testing.assert_allclose(one.translate, (3 + 5, 4 + 10))
    np.testing.assert_allclose(one.scale, (0.5, 0.5))
    assert one.units == layer.units
    if target != "soma":
        assert one.name == os.path.basename(path)


def test_a_colour_tiff_opens_where_it_came_from(viewer, export, opened):
    layer = viewer.add_image(noise(90, 130, 3), rgb=True, name="tissue", **PLACE)
    export("ome-tiff", "pixels", (("20", "10"), ("60", "30")))
    (one,) = opened()
    assert one.rgb
    np.testing.assert_array_equal(one.data, layer.data[10:30, 20:60])
    np.testing.assert_allclose(one.translate, (8, 14))


@pytest.mark.parametrize("target", ["ome-tiff", "ome-zarr"])
def test_channels_of_the_plane_that_is_seen(viewer, form, export, opened, target):
    pixels = samples.volume((3, 8, 60, 80))
    layers = viewer.add_image(
        pixels,
        channel_axis=0,
        scale=(3, 0.5, 0.5),
        name=["DAPI", "membrane", "marker"],
        colormap=["blue", "green", "bop orange"],
    )
    viewer.layers.selection = set(layers)
    form.image.value = "selected"
    viewer.dims.set_point(0, 12)
    export(target, "view")
    for one, before in zip(opened(3), layers, strict=True):
        assert one.name.endswith(before.name)
        box = box_of(one, before)
        assert box[0] == slice(4, 5)
        np.testing.assert_array_equal(finest(one), before.data[box])
        np.testing.assert_allclose(
            one.colormap.map([0.5, 1]), before.colormap.map([0.5, 1]), atol=0.01
        )


@pytest.mark.parametrize("target", ["ome-tiff", "png"])
def test_a_plane_as_displayed(viewer, form, export, opened, target):
    before = viewer.add_image(noise(8, 60, 80), scale=(3, 0.5, 0.5), colormap="red")
    viewer.dims.set_point(0, 12)
    form.colors.value = True
    export(target, "view")
    (one,) = opened()
    assert one.rgb
    box = box_of(one, before)
    assert box[0] == slice(4, 5)
    low, high = before.contrast_limits
    reds = np.clip((before.data[box] - low) / (high - low), 0, 1) * 255
    np.testing.assert_allclose(finest(one)[..., 0], reds, atol=1)


@pytest.mark.parametrize("target", ["ome-zarr", "png"])
def test_labels_of_a_plane(viewer, export, opened, target):
    layer = viewer.add_labels(noise(8, 60, 80), scale=(3, 0.5, 0.5))
    viewer.dims.set_point(0, 12)
    export(target, "view")
    (one,) = opened()
    assert one._type_string == "labels"
    box = box_of(one, layer)
    assert box[0] == slice(4, 5)
    np.testing.assert_array_equal(finest(one), layer.data[box])


def test_an_image_stored_in_another_axis_order(viewer, export, opened, write_soma):
    pixels = noise(60, 40, 2, dtype="uint16")
    before = open_image(write_soma([pixels], ("x", "y", "soma_channel")), viewer)
    export("npy", "pixels", (("7", "3"), ("9", "9")))
    for index, one in enumerate(opened(2)):
        np.testing.assert_array_equal(one.data, pixels[7:9, 3:9, index].T)
        np.testing.assert_allclose(
            one.data_to_world((2, 1)), before[index].data_to_world((5, 8))
        )


@pytest.mark.parametrize("target", ["npy", "soma"])
def test_opening_a_result_keeps_the_image(viewer, form, export, opened, qtbot, target):
    layer = viewer.add_image(noise(90, 130))
    export(target)
    opened()
    qtbot.waitUntil(lambda: not form.is_planning)
    assert form._source.layers == (layer,)


# What cannot be opened


@pytest.mark.parametrize("target", ["npy", "soma"])
def test_a_file_that_is_gone_is_named(viewer, export, refusal, target):
    viewer.add_image(noise(90, 130))
    path = export(target)
    shutil.move(path, path + ".old")
    said = refusal()
    assert said.startswith(f"{path!r} is not there any more")
    assert len(viewer.layers) == 1


def test_what_napari_refuses_is_said(viewer, export, refusal, monkeypatch):
    viewer.add_image(noise(90, 130), name="liver")
    export("npy")

    def refuse(*args, **kwargs):
        raise ValueError("too red")

    monkeypatch.setattr(type(viewer), "add_image", refuse)
    said = refusal()
    assert said == (
        "The files were written, but napari cannot show 'liver.npy': too red."
    )
