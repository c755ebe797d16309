"""Layers of SOMA images are exported as the image is stored."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Layer

from napari_msimage.coordinates import CoordinateSpace
from napari_msimage.engines import plan_export, run, write_export
from napari_msimage.plugin._export_layer import layers_to_export
from napari_msimage.plugin._export_stored import in_stored_order
from napari_msimage.plugin._open import OpenRequest, read_layers
from napari_msimage.plugin._region_typed import pixel_region
from napari_msimage.storage import MultiscaleImage

SIZES = {"x": 130, "y": 97, "z": 11, "soma_channel": 3}


def stored_image(uri, order, dtype=np.uint16):
    """Write two levels in some axis order; return the pixels of the finest."""
    axes = [name for name in ("x", "y", "z") if name in order]
    levels = []
    for factor in (1, 2):
        shape = [
            SIZES[name] if name in ("soma_channel", "z") else SIZES[name] // factor
            for name in order
        ]
        rng = np.random.default_rng(factor)
        levels.append(rng.integers(0, 250, shape, dtype=dtype))
    with MultiscaleImage.create(
        uri,
        type=levels[0].dtype,
        level_shape=levels[0].shape,
        coordinate_space=CoordinateSpace.from_axis_names(axes),
        data_axis_order=order,
        has_channel_axis="soma_channel" in order,
    ) as image:
        box = (slice(None),) * len(order)
        image["level0"].write(box, levels[0])
        with image.add_new_level("level1", shape=levels[1].shape) as array:
            array.write(box, levels[1])
    return levels


def opened_layers(uri):
    return [Layer.create(*parts) for parts in read_layers(OpenRequest(uri))]


@pytest.mark.parametrize(
    "order",
    [
        ("soma_channel", "y", "x"),
        ("x", "y", "soma_channel"),
        ("y", "x"),
        ("x", "soma_channel", "y", "z"),
        ("z", "y", "x"),
    ],
    ids="".join,
)
@pytest.mark.parametrize("level", [0, 1])
def test_pixels_in_stored_order(tmp_path, tmp_uri, order, level):
    levels = stored_image(tmp_uri, order)
    layers = opened_layers(tmp_uri)
    export = layers_to_export(layers)
    names = export.source.spatial_names
    bounds = {"x": (20, 60), "y": (10, 44), "z": (3, 7)}
    lower, upper = zip(*(bounds[name] for name in names), strict=True)
    region = pixel_region(export.source, lower, upper, level=level)
    stored, (turned,) = in_stored_order(export, layers, [region])
    assert stored.source.axis_names == order
    plan = plan_export(
        stored.source,
        str(tmp_path / "a.npy"),
        region=turned,
        level=level,
        channels=stored.channels,
    )
    run(write_export(plan))
    box = tuple(slice(*bounds.get(name, (None,))) for name in order)
    assert np.array_equal(np.load(tmp_path / "a.npy"), levels[level][box])


def test_channels_that_are_shown(tmp_uri):
    stored_image(tmp_uri, ("soma_channel", "y", "x"))
    layers = opened_layers(tmp_uri)
    chosen = [layers[2], layers[0]]
    layers[2].colormap = "cyan"
    stored, _ = in_stored_order(layers_to_export(chosen), chosen)
    assert stored.channels == (2, 0)
    assert stored.source.levels[0].shape[0] == 3
    assert stored.source.channel_colors[2] == (0, 1, 1)
    assert stored.source.channel_colors[1] == (1, 1, 1)
    assert stored.source.keys == ("level0", "level1")


def test_places_follow_the_axes(tmp_uri):
    stored_image(tmp_uri, ("x", "y", "z"))
    layers = opened_layers(tmp_uri)
    layers[0].scale, layers[0].translate = (3, 2, 1), (30, 20, 10)
    export = layers_to_export(layers)
    stored, _ = in_stored_order(export, layers)
    one = stored.source.to_world @ [5, 4, 3, 1]
    other = export.source.to_world @ [3, 4, 5, 1]
    assert np.array_equal(one[:3], other[2::-1])
    assert stored.axes == (2, 1, 0)


def test_other_layers_stay_as_they_are(tmp_uri):
    layers = [Image(np.zeros((97, 130)))]
    export = layers_to_export(layers)
    assert in_stored_order(export, layers) == (export, ())
    stored_image(tmp_uri, ("y", "x"))
    ours = opened_layers(tmp_uri)
    ours[0].data = [np.zeros((50, 60), np.uint16), np.zeros((25, 30), np.uint16)]
    changed = layers_to_export(ours)
    assert in_stored_order(changed, ours)[0] is changed
