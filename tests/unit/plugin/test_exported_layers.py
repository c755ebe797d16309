"""Exported files open as layers where their pixels came from, whatever the format."""

from __future__ import annotations

import dataclasses
import gc
import importlib.util
import itertools
import os

import dask.array
import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels, Layer

from napari_msimage.coordinates import Axis, CoordinateSpace
from napari_msimage.engines import plan_export, run, write_export
from napari_msimage.errors import DoesNotExistError, FormatError, SOMAError
from napari_msimage.plugin._export_displayed import displayed_source
from napari_msimage.plugin._export_layer import layers_to_export
from napari_msimage.plugin._export_stored import in_stored_order
from napari_msimage.plugin._exported_layers import exported_layers
from napari_msimage.plugin._open import OpenRequest, read_layers
from napari_msimage.plugin._region_typed import pixel_region
from napari_msimage.plugin.widgets._export_results import without_pixels
from napari_msimage.storage import MultiscaleImage

RNG = np.random.default_rng(8)
FORMATS = ("ome-tiff", "ome-zarr", "png", "npy", "soma")
ENDINGS = {"ome-tiff": "ome.tif", "ome-zarr": "ome.zarr"}
MICROMETRES = {"units": "micrometer"}
PLACE_2D = {"scale": (0.5, 0.25), "translate": (3, -40), **MICROMETRES}
PLACE_3D = {"scale": (3, 0.5, 0.25), "translate": (-7, 3, 40), **MICROMETRES}
#: Half-open pixel ranges, in the axes of the layer.
PART = ((11, 40), (23, 64))
PLANE = ((3, 4), *PART)
SLAB = ((2, 6), *PART)


def noise(*shape, dtype="uint8"):
    return RNG.integers(1, 200, shape).astype(dtype)


def channels(shape, **place):
    """Return layers that are channels of one image, each in its own colour."""
    colors = {"DAPI": "bop blue", "GFP": "green", "Cy5": "gray"}
    return [
        Image(noise(*shape, dtype="uint16"), name=name, colormap=color, **place)
        for name, color in colors.items()
    ]


@dataclasses.dataclass
class Case:
    """What is exported, and the layers that are to come of it."""

    layers: list
    box: tuple
    formats: tuple = FORMATS
    displayed: bool = False
    channel_axis: int | None = None
    options: dict = dataclasses.field(default_factory=dict)


NO_PNG = tuple(name for name in FORMATS if name != "png")
CASES = {
    "gray": lambda: Case([Image(noise(97, 130), **PLACE_2D)], PART),
    "gray16": lambda: Case([Image(noise(97, 130, dtype="uint16"))], PART),
    "plane": lambda: Case([Image(noise(11, 97, 130), **PLACE_3D)], PLANE),
    "upright plane": lambda: Case(
        [Image(noise(11, 97, 130), **PLACE_3D)], ((2, 9), (23, 64), (5, 6))
    ),
    "volume": lambda: Case(
        [Image(noise(11, 97, 130, dtype="float32"), **PLACE_3D)], SLAB, NO_PNG
    ),
    "rgb": lambda: Case([Image(noise(97, 130, 3), rgb=True, **PLACE_2D)], PART),
    "rgba": lambda: Case([Image(noise(97, 130, 4), rgb=True, **PLACE_2D)], PART),
    "rgb plane": lambda: Case(
        [Image(noise(11, 97, 130, 3), rgb=True, **PLACE_3D)], PLANE
    ),
    "rgb volume": lambda: Case(
        [Image(noise(11, 97, 130, 3), rgb=True, **PLACE_3D)], SLAB, NO_PNG
    ),
    "channels": lambda: Case(channels((97, 130), **PLACE_2D), PART, NO_PNG),
    "channels of a plane": lambda: Case(
        channels((11, 97, 130), **PLACE_3D), PLANE, NO_PNG
    ),
    "channels of a volume": lambda: Case(
        channels((11, 97, 130), **PLACE_3D), SLAB, NO_PNG
    ),
    "channel axis in the layer": lambda: Case(
        [Image(noise(5, 97, 130), scale=(1, 0.5, 0.25), translate=(0, 3, 40))],
        PART,
        NO_PNG,
        channel_axis=0,
    ),
    "labels": lambda: Case([Labels(noise(97, 130), **PLACE_2D)], PART),
    "labels of a plane": lambda: Case([Labels(noise(11, 97, 130), **PLACE_3D)], PLANE),
    "labels of a volume": lambda: Case(
        [Labels(noise(11, 97, 130, dtype="int32"), **PLACE_3D)], SLAB, NO_PNG
    ),
    "as displayed": lambda: Case(
        channels((97, 130), blending="additive", **PLACE_2D), PART, displayed=True
    ),
    "plane as displayed": lambda: Case(
        channels((11, 97, 130), blending="additive", **PLACE_3D), PLANE, displayed=True
    ),
    "turned": lambda: Case(
        [Image(noise(97, 130), rotate=30, shear=[0.4], **PLACE_2D)], PART
    ),
    "turned channels of a plane": lambda: Case(
        channels((11, 97, 130), rotate=(10, 20, 30), **PLACE_3D), PLANE, NO_PNG
    ),
    "flipped": lambda: Case(
        [Image(noise(97, 130), scale=(-0.5, 0.25), translate=(9, 0))], PART
    ),
    "coarser level": lambda: Case(
        [Image([noise(291, 260), noise(97, 130)], multiscale=True, **PLACE_2D)],
        PART,
        options={"level": 1},
    ),
    "pyramid": lambda: Case(
        channels((3, 1300, 700), scale=(100, 0.5, 0.25)),
        ((1, 3), (10, 1290), (5, 690)),
        ("ome-tiff", "ome-zarr", "soma"),
        options={"pyramid": True},
    ),
    "pyramid of colours": lambda: Case(
        [Image(noise(1300, 700, 3), rgb=True, **PLACE_2D)],
        ((10, 1290), (5, 690)),
        ("ome-tiff", "ome-zarr", "soma"),
        options={"pyramid": True},
    ),
    "pyramid of labels": lambda: Case(
        [Labels(noise(1300, 700, dtype="int32"), **PLACE_2D)],
        ((10, 1290), (5, 690)),
        ("ome-tiff", "ome-zarr", "soma"),
        options={"pyramid": True},
    ),
}


def exported(case, path):
    """Write a case to files; return the plan without the pixels, and the source."""
    export = (
        displayed_source(case.layers)
        if case.displayed
        else layers_to_export(case.layers, channel_axis=case.channel_axis)
    )
    level = case.options.get("level", 0)
    region = pixel_region(export.source, *zip(*case.box, strict=True), level=level)
    plan = plan_export(export.source, path, region=region, **case.options)
    run(write_export(plan))
    return without_pixels(plan), export.source


def finest(layer):
    return np.asarray(layer.data[0] if layer.multiscale else layer.data)


def opened_layers(plan):
    return [
        Layer.create(*parts)
        for file in plan.files
        for parts in exported_layers(plan, file)
    ]


def assert_in_place(opened, before, box, factors=1):
    """Check that the centres of pixels lie where those of the source's pixels do."""
    n_axes = len(box)
    assert opened.ndim == n_axes
    sizes = [stop - start for start, stop in box]
    assert finest(opened).shape[:n_axes] == tuple(sizes)
    extra = (0,) * (before.ndim - n_axes)  # of a channel axis within the layer
    for index in itertools.product(*((0, size // 3, size - 1) for size in sizes)):
        centre = (np.add(index, [start for start, _ in box]) + 0.5) * factors - 0.5
        np.testing.assert_allclose(
            opened.data_to_world(index),
            before.data_to_world((*extra, *centre))[-n_axes:],
            atol=1e-9,
        )
    assert opened.units == before.units[-n_axes:]


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("name", CASES)
def test_results_lie_where_their_pixels_came_from(tmp_path, name, target):
    case = CASES[name]()
    if target not in case.formats:
        pytest.skip("the format does not hold it")
    path = str(tmp_path / f"out.{ENDINGS.get(target, target)}")
    plan, source = exported(case, path)
    opened = opened_layers(plan)

    level = case.options.get("level", 0)
    cut = tuple(slice(*bounds) for bounds in case.box)
    factors = (3, 2) if level else 1
    if case.displayed:
        pixels = [np.asarray(source.levels[0][(*cut, slice(None))])]
    elif case.channel_axis is not None:
        pixels = [one[cut] for one in case.layers[0].data]
    else:
        pixels = [
            (layer.data[level] if layer.multiscale else layer.data)[cut]
            for layer in case.layers
        ]
    assert len(opened) == len(pixels)
    for layer, wanted in zip(opened, pixels, strict=True):
        assert_in_place(layer, case.layers[0], case.box, factors)
        np.testing.assert_array_equal(finest(layer), wanted)
        assert layer._type_string == case.layers[0]._type_string
        assert getattr(layer, "rgb", False) == source.is_rgb
    if not case.displayed and len(case.layers) > 1:
        for layer, before in zip(opened, case.layers, strict=True):
            assert layer.name.endswith(before.name)
            if target != "soma":
                steps = np.linspace(0, 1, 5)
                colors = [one.colormap.map(steps) for one in (layer, before)]
                np.testing.assert_allclose(*colors, atol=0.01)


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize(
    "order",
    [
        ("soma_channel", "y", "x"),
        ("x", "y", "soma_channel"),
        ("x", "y"),
        ("x", "soma_channel", "y", "z"),
        ("z", "y", "x", "soma_channel"),
    ],
    ids="".join,
)
@pytest.mark.parametrize("rgb", [False, True])
def test_images_in_any_axis_order(tmp_path, tmp_uri, order, target, rgb):
    if "soma_channel" not in order and rgb:
        pytest.skip("no channels")
    if target == "png" and "soma_channel" in order and not rgb:
        pytest.skip("the format does not hold it")
    sizes = {"x": 130, "y": 97, "z": 11, "soma_channel": 3}
    pixels = noise(*(sizes[name] for name in order))
    names = [name for name in "xyz" if name in order]
    with MultiscaleImage.create(
        tmp_uri,
        type=pixels.dtype,
        level_shape=pixels.shape,
        coordinate_space=CoordinateSpace([Axis(name, "micrometer") for name in names]),
        data_axis_order=order,
        has_channel_axis="soma_channel" in order,
    ) as image:
        image["level0"].write((slice(None),) * len(order), pixels)
    layers = [
        Layer.create(*parts) for parts in read_layers(OpenRequest(tmp_uri, rgb=rgb))
    ]
    export = layers_to_export(layers)
    box = PLANE if "z" in order else PART
    region = pixel_region(export.source, *zip(*box, strict=True))
    stored, regions = in_stored_order(export, layers, [region])
    assert stored.source.axis_names == order
    path = str(tmp_path / f"out.{ENDINGS.get(target, target)}")
    plan = plan_export(stored.source, path, region=list(regions))
    run(write_export(plan))

    opened = opened_layers(plan)
    assert len(opened) == len(layers)
    cut = tuple(slice(*bounds) for bounds in box)
    for layer, before in zip(opened, layers, strict=True):
        assert_in_place(layer, before, box)
        np.testing.assert_array_equal(finest(layer), finest(before)[cut])
        assert layer.rgb == before.rgb


@pytest.mark.parametrize("target", ["npy", "ome-tiff", "png", "ome-zarr", "soma"])
def test_several_regions(tmp_path, target):
    layer = Image(noise(97, 130), **PLACE_2D)
    source = layers_to_export([layer]).source
    boxes = [PART, ((50, 90), (0, 33))]
    regions = [pixel_region(source, *zip(*box, strict=True)) for box in boxes]
    path = str(tmp_path / f"{{index}}.{ENDINGS.get(target, target)}")
    plan = plan_export(source, path, region=regions)
    run(write_export(plan))
    opened = opened_layers(plan)
    for one, box in zip(opened, boxes, strict=True):
        assert_in_place(one, layer, box)
        cut = tuple(slice(*bounds) for bounds in box)
        np.testing.assert_array_equal(finest(one), layer.data[cut])


@pytest.mark.parametrize(
    ("kind", "target"),
    [("rgb", "png"), ("rgb", "ome-tiff"), ("gray", "png"), ("labels", "png")],
)
def test_transparent_pixels(tmp_path, kind, target):
    make = {"rgb": Image, "gray": Image, "labels": Labels}[kind]
    shape = (97, 130, 3) if kind == "rgb" else (97, 130)
    layer = make(noise(*shape), **PLACE_2D)
    source = layers_to_export([layer]).source
    region = pixel_region(source, *zip(*PART, strict=True))
    (low, left), (high, right) = region.lower, region.upper
    region = dataclasses.replace(
        region, outline=np.array([(low, left), (high, left), (low, right)])
    )
    path = str(tmp_path / f"out.{ENDINGS.get(target, target)}")
    plan = plan_export(source, path, region=region, alpha=True)
    run(write_export(plan))
    (opened,) = opened_layers(plan)
    assert_in_place(opened, layer, PART)
    pixels, wanted = finest(opened), layer.data[11:40, 23:64]
    if kind == "labels":
        assert isinstance(opened, Labels)
        assert pixels[0, 0] == wanted[0, 0]
        assert pixels[-1, -1] == 0
        return
    assert opened.rgb
    assert (pixels[0, 0, 3], pixels[-1, -1, 3]) == (255, 0)
    np.testing.assert_array_equal(pixels[0, 0, :3], np.broadcast_to(wanted[0, 0], 3))


@pytest.mark.parametrize("target", ["npy", "ome-tiff", "ome-zarr"])
def test_a_volume_is_read_when_it_is_shown(tmp_path, target):
    path = str(tmp_path / f"out.{ENDINGS.get(target, target)}")
    plan, _ = exported(Case(channels((11, 97, 130)), SLAB), path)
    for data, _, _ in exported_layers(plan, plan.files[0]):
        kind = np.memmap if target == "npy" else dask.array.Array
        assert isinstance(data, kind)


def test_the_tiff_is_closed_with_its_layers(tmp_path, monkeypatch):
    closed, close = [], tifffile.TiffFile.close
    monkeypatch.setattr(
        tifffile.TiffFile, "close", lambda file: (closed.append(file), close(file))
    )
    path = str(tmp_path / "out.ome.tif")
    plan, _ = exported(Case(channels((11, 97, 130)), SLAB), path)
    closed.clear()
    layers = exported_layers(plan, plan.files[0])
    gc.collect()
    assert not closed
    del layers
    gc.collect()
    assert len(closed) == 1


def test_without_zarr_a_tiff_is_read_at_once(tmp_path, monkeypatch):
    case = Case(channels((11, 97, 130)), SLAB)
    plan, _ = exported(case, str(tmp_path / "out.ome.tif"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for one, before in zip(opened_layers(plan), case.layers, strict=True):
        assert isinstance(one.data, np.ndarray)
        assert_in_place(one, before, SLAB)


def test_labels_can_be_painted_on(tmp_path):
    case = Case([Labels(noise(97, 130), name="nuclei")], PART)
    plan, _ = exported(case, str(tmp_path / "out.npy"))
    (layer,) = opened_layers(plan)
    layer.fill((0, 0), 77)
    assert 77 in layer.data


# What cannot be opened


@pytest.mark.parametrize("target", FORMATS)
def test_a_file_that_is_gone_is_named(tmp_path, target):
    path = str(tmp_path / f"out.{ENDINGS.get(target, target)}")
    plan, _ = exported(Case([Image(noise(97, 130))], PART), path)
    os.rename(path, path + ".old")
    with pytest.raises(DoesNotExistError, match=rf"out\.{ENDINGS.get(target, target)}"):
        exported_layers(plan, plan.files[0])


@pytest.mark.parametrize("target", FORMATS)
def test_a_damaged_file_is_named(tmp_path, target):
    path = tmp_path / f"out.{ENDINGS.get(target, target)}"
    plan, _ = exported(Case([Image(noise(97, 130))], PART), str(path))
    if path.is_dir():
        for one in path.rglob("*"):
            if one.is_file():
                one.write_bytes(b"something else")
    else:
        path.write_bytes(b"something else")
    with pytest.raises(SOMAError, match=rf"out\.{ENDINGS.get(target, target)}"):
        exported_layers(plan, plan.files[0])


@pytest.mark.parametrize("target", ["ome-tiff", "ome-zarr", "png", "npy"])
def test_another_image_in_its_place_is_refused(tmp_path, target):
    path = str(tmp_path / f"out.{ENDINGS.get(target, target)}")
    plan, _ = exported(Case([Image(noise(97, 130))], PART), path)
    other = plan_export(
        layers_to_export([Image(noise(30, 20))]).source, path, overwrite=True
    )
    run(write_export(other))
    with pytest.raises(FormatError, match="30 x 20"):
        exported_layers(plan, plan.files[0])
