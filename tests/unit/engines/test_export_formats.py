"""What other programs find in exported files: place, size, channels, levels."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from napari_msimage.coordinates import Axis, CoordinateSpace
from napari_msimage.engines import (
    ExportSource,
    ImageRegion,
    ImageToWrite,
    export_region,
    export_source,
    run,
    write_store,
)
from napari_msimage.errors import AlreadyExistsError
from napari_msimage.storage import MultiscaleImage, Scene

CHANNEL = "soma_channel"
RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def noise(shape, dtype="uint8", seed=0):
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(info.min, info.max, shape, dtype)


def slide(pixels, order=(CHANNEL, "y", "x"), size=0.5, offset=(), **more):
    n_axes = sum(name != CHANNEL for name in order)
    matrix = np.diag([*[size] * n_axes, 1.0])
    matrix[:-1, -1] = offset or (0,) * n_axes
    more = {"units": ("micrometer",) * n_axes, **more}
    return ExportSource("slide", (pixels,), order, matrix, **more)


def checked_ome(path):
    """Return the OME metadata; anything that is not valid is an error."""
    ome_types = pytest.importorskip("ome_types")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ome_types.from_tiff(path, validate=False).images[0].pixels


# OME-TIFF


def test_tiff_has_size_place_and_channels(tmp_path):
    source = slide(
        noise((3, 600, 700), "uint16"),
        offset=(100.0, 50.0),
        channel_names=("DAPI", 'CD3 "<&>"', "CD8"),
        channel_colors=(BLUE, GREEN, RED),
    )
    path = export_region(
        source, tmp_path / "a.ome.tif", region=(20, 10, 620, 510), channels=[2, 1]
    )[0]
    found = checked_ome(path)
    assert (found.size_x, found.size_y, found.size_c) == (600, 500, 2)
    assert (found.physical_size_x, found.physical_size_y) == (0.5, 0.5)
    assert found.physical_size_x_unit.value == "µm"
    assert [channel.name for channel in found.channels] == ["CD8", 'CD3 "<&>"']
    assert [c.color.as_rgb_tuple()[:3] for c in found.channels] == [
        *((255, 0, 0), (0, 255, 0))
    ]
    for plane in found.planes:
        assert (plane.position_x, plane.position_y) == (60.0, 105.0)
        assert plane.position_x_unit.value == "µm"


@pytest.mark.parametrize("order", [(CHANNEL, "y", "x"), ("y", "x", CHANNEL)])
@pytest.mark.parametrize("n_channels", [3, 4])
def test_colours_become_samples_of_one_picture(tmp_path, order, n_channels):
    import tifffile

    shape = tuple({CHANNEL: n_channels, "y": 600, "x": 530}[name] for name in order)
    pixels = noise(shape)
    path = export_region(
        slide(pixels, order, is_rgb=True), tmp_path / "a.tif", pyramid=True
    )[0]
    with tifffile.TiffFile(path) as tiff:
        page, series = tiff.pages[0], tiff.series[0]
        assert tiff.is_ome
        assert page.photometric.name == "RGB"
        assert page.samplesperpixel == n_channels
        assert page.is_tiled
        assert series.axes == ("SYX" if order[0] == CHANNEL else "YXS")
        assert np.array_equal(series.asarray(), pixels)
        assert len(series.levels) == 2
    assert len(checked_ome(path).channels) == 1


def test_coarser_levels_are_means_and_in_subifds(tmp_path):
    import tifffile

    pixels = np.repeat(np.repeat(noise((2, 300, 400)), 4, 1), 4, 2)
    path = export_region(slide(pixels), tmp_path / "a.tif", pyramid=True)[0]
    with tifffile.TiffFile(path) as tiff:
        levels = tiff.series[0].levels
        assert [level.shape for level in levels] == [
            *((2, 1200, 1600), (2, 600, 800), (2, 300, 400))
        ]
        assert len(tiff.pages[0].subifds) == 2
        assert np.array_equal(levels[1].asarray(), pixels[:, ::2, ::2])
        assert np.array_equal(levels[2].asarray(), pixels[:, ::4, ::4])
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.tif"]


def test_labels_are_not_averaged(tmp_path):
    import tifffile

    pixels = np.kron(noise((200, 300), "int32"), np.ones((5, 5), "int32"))
    source = slide(pixels, ("y", "x"), is_labels=True)
    path = export_region(source, tmp_path / "a.tif", pyramid=True)[0]
    with tifffile.TiffFile(path) as tiff:
        for level in tiff.series[0].levels[1:]:
            assert np.isin(level.asarray(), pixels).all()


def test_planes_of_a_stack_have_their_height(tmp_path):
    source = slide(noise((2, 3, 20, 30)), (CHANNEL, "z", "y", "x"), 2.0, (5, 0, 0))
    path = export_region(source, tmp_path / "a.tif")[0]
    found = checked_ome(path)
    assert found.physical_size_z == 2.0
    heights = {(p.the_c, p.the_z): p.position_z for p in found.planes}
    assert heights == {(c, z): 5.0 + 2 * z for c in (0, 1) for z in (0, 1, 2)}


@pytest.mark.parametrize(
    ("unit", "size", "name"),
    [
        (None, 0.5, "pixel"),
        ("um", 0.5, "µm"),
        ("millimeter", 0.5, "mm"),
        ("yard", 457200.0, "µm"),
        ("second", 0.5, "pixel"),
    ],
)
def test_units_of_tiff(tmp_path, unit, size, name):
    source = slide(noise((20, 30)), ("y", "x"), units=(unit, unit))
    found = checked_ome(export_region(source, tmp_path / "a.tif")[0])
    assert found.physical_size_y == pytest.approx(size)
    assert found.physical_size_y_unit.value == name


def test_large_files_are_bigtiff(tmp_path, monkeypatch):
    import tifffile

    from napari_msimage.engines import _export_tiff

    source = slide(noise((20, 30)), ("y", "x"))
    for most, expected in ((2**32, False), (100, True)):
        monkeypatch.setattr(_export_tiff, "_BIG", most)
        path = export_region(source, tmp_path / f"{most}.tif")[0]
        with tifffile.TiffFile(path) as tiff:
            assert tiff.is_bigtiff is expected


def test_booleans_become_numbers_in_tiff(tmp_path):
    import tifffile

    pixels = noise((40, 50)) > 100
    path = export_region(slide(pixels, ("y", "x")), tmp_path / "a.tif")[0]
    found = tifffile.imread(path)
    assert found.dtype == np.uint8
    assert np.array_equal(found, pixels)


# OME-Zarr


def test_zarr_has_place_size_channels_and_levels(tmp_path):
    pytest.importorskip("ome_zarr")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    pixels = noise((3, 1100, 1201), "uint16")
    source = slide(
        pixels,
        offset=(100.0, 50.0),
        channel_names=("DAPI", "CD3", "CD8"),
        channel_colors=(BLUE, GREEN, RED),
    )
    path = export_region(
        source, tmp_path / "a.ome.zarr", region=(20, 10, 1201, 1100), channels=[2, 0]
    )[0]
    (node,) = Reader(parse_url(path))()
    found = node.metadata
    assert found["axes"] == [
        {"name": "c", "type": "channel"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    assert found["channel_names"] == ["CD8", "DAPI"]
    shapes = [level.shape for level in node.data]
    assert shapes[0] == (2, 1090, 1181)
    assert len(shapes) > 1
    expected = pixels[[2, 0], 10:, 20:]
    assert np.array_equal(np.asarray(node.data[0]), expected)
    for shape, steps in zip(shapes, found["coordinateTransformations"], strict=True):
        scale, place = steps[0]["scale"], steps[1]["translation"]
        factors = np.divide(shapes[0][1:], shape[1:])
        assert scale == pytest.approx([1, *(0.5 * factors)])
        # The first pixel's low corner is at the same place at all levels.
        corner = np.array(place[1:]) - np.array(scale[1:]) / 2
        assert corner == pytest.approx([105.0, 60.0])
    coarse = np.asarray(node.data[1], float)
    assert coarse.mean() == pytest.approx(expected.mean(), rel=1e-3)


def test_zarr_follows_the_specification(tmp_path):
    models = pytest.importorskip("ome_zarr_models.v05.image")
    import zarr

    for number, (order, more) in enumerate(
        [
            (("y", "x"), {}),
            ((CHANNEL, "y", "x"), {"is_rgb": True}),
            (("z", CHANNEL, "y", "x"), {"channel_names": ("a", "b", "c")}),
            (("y", "x", CHANNEL), {"is_rgb": True}),
            (("t", "y", "x"), {"units": ("second", "mm", "mm")}),
        ]
    ):
        shape = tuple({CHANNEL: 3, "z": 4, "t": 4}.get(name, 600) for name in order)
        path = export_region(
            slide(noise(shape), order, **more), tmp_path / f"{number}.zarr"
        )
        image = models.Image.from_zarr(zarr.open_group(path[0], mode="r"))
        assert image.ome_attributes.version == "0.5"
        kinds = [axis.type for axis in image.ome_attributes.multiscales[0].axes]
        rank = {"time": 0, "channel": 1, "space": 2}
        assert kinds == sorted(kinds, key=rank.__getitem__)


def test_zarr_replaces_zarr_only(tmp_path):
    pytest.importorskip("zarr", minversion="3")
    import zarr

    source = slide(noise((20, 30)), ("y", "x"))
    path = export_region(source, tmp_path / "a.zarr")[0]
    other = slide(noise((20, 30), seed=1), ("y", "x"))
    export_region(other, path, overwrite=True)
    assert np.array_equal(zarr.open_group(path, mode="r")["0"][:], other.levels[0])
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]
    folder = tmp_path / "b.zarr"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(AlreadyExistsError, match="no Zarr folder"):
        export_region(source, folder, overwrite=True)
    assert (folder / "thesis.txt").exists()


# SOMA


def test_a_cut_out_is_where_it_was(tmp_path):
    matrix = np.array([[0.0, -2.0, 7.0], [3.0, 0.0, 5.0], [0.0, 0.0, 1.0]])
    pixels = noise((3, 1200, 1300))
    source = ExportSource(
        "slide", (pixels,), (CHANNEL, "y", "x"), matrix, ("micrometer",) * 2
    )
    path = export_region(source, tmp_path / "a.soma", region=(40, 30, 1240, 1130))[0]
    with Scene.open(path) as scene:
        assert [axis.unit for axis in scene.coordinate_space.axes] == ["micrometer"] * 2
        to_image = scene.get_transform_to_multiscale_image("image")
        with MultiscaleImage.open(f"{path}/img/image") as image:
            shapes = [shape for _, shape in image.levels().values()]
    assert shapes[:2] == [(3, 1100, 1200), (3, 550, 600)]
    # A point of the cut-out, through the stored transform and through ours (y, x).
    world = matrix @ [30 + 11.5, 40 + 22.25, 1]
    point = to_image.transform_points(np.array([[world[1], world[0]]]))
    assert point == pytest.approx(np.array([[22.25, 11.5]]))


def test_an_image_whose_pixels_are_the_world_stays_an_image(tmp_path):
    source = slide(noise((3, 40, 50)), size=1.0)
    path = export_region(source, tmp_path / "a.soma", region=(0, 0, 30, 20))[0]
    with MultiscaleImage.open(path) as image:
        assert image.level_shape(0) == (3, 20, 30)
        assert image.coordinate_space == CoordinateSpace(
            (Axis("x", "micrometer"), Axis("y", "micrometer"))
        )


# Images by address


def test_an_image_is_exported_by_its_address(tmp_path):
    from PIL import Image

    pixels = noise((3, 60, 80))
    uri = str(tmp_path / "tissue.soma")
    hints = (
        '{"version": 1, "rgb": true, "placement": {"scale": [2, 2]}, "order": 1, '
        '"channels": [{"name": "red"}, {}, {"name": "blue"}]}'
    )
    what = ImageToWrite(
        (pixels, pixels[:, ::2, ::2]),
        CoordinateSpace((Axis("x", "micrometer"), Axis("y", "micrometer"))),
        (CHANNEL, "y", "x"),
        metadata={"napari_msimage": hints},
        more_levels=False,
    )
    run(write_store(uri, what))
    path = export_region(uri, tmp_path / "a.png", region=(10, 20, 40, 60), level=1)[0]
    with Image.open(path) as image:
        expected = pixels[:, 20:60:2, 10:40:2].transpose(1, 2, 0)
        assert np.array_equal(np.asarray(image), expected)
    with MultiscaleImage.open(uri) as opened:
        source = export_source(opened)
    assert source.name == "tissue"
    assert source.is_rgb
    assert source.channel_names == ("red", "channel 1", "blue")
    assert source.units == ("micrometer", "micrometer")
    assert source.level_keys == ("level0", "level1")
    cut = export_region(source, tmp_path / "cut.soma", channels=["blue", "red"])[0]
    with MultiscaleImage.open(cut) as image:
        assert image.metadata["napari_msimage"] == (
            '{"version": 1, "rgb": false, '
            '"channels": [{"name": "blue"}, {"name": "red"}]}'
        )


@pytest.mark.parametrize("text", ["{", "[1]", '{"version": 2}', b"\xff", "{" * 70000])
def test_damaged_hints_are_left_out(tmp_path, text):
    uri = str(tmp_path / "tissue.soma")
    what = ImageToWrite(
        (noise((3, 6, 8)),),
        CoordinateSpace.from_axis_names(("x", "y")),
        (CHANNEL, "y", "x"),
        more_levels=False,
    )
    run(write_store(uri, what))
    with MultiscaleImage.open(uri, "w") as image:
        if isinstance(text, str):
            image.metadata["napari_msimage"] = text
    source = export_source(uri)
    assert source.channel_names is None
    assert source.metadata == {}
    source.close()


# Masks


def ring(n_corners, centre, radius):
    turn = np.linspace(0, 2 * np.pi, n_corners, endpoint=False)
    return np.stack((np.sin(turn), np.cos(turn)), 1) * radius + centre


def reference_mask(outline, shape):
    """Even-odd rule at pixel centres, by numpy alone."""
    rows, columns = np.indices(shape) + 0.5
    inside = np.zeros(shape, bool)
    for (y0, x0), (y1, x1) in zip(outline, np.roll(outline, -1, 0), strict=True):
        if y0 == y1:
            continue
        crosses = (y0 > rows) != (y1 > rows)
        inside ^= crosses & (columns < (x1 - x0) * (rows - y0) / (y1 - y0) + x0)
    return inside


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("order", [(CHANNEL, "y", "x"), ("y", "x", CHANNEL)])
def test_pixels_outside_of_an_outline_have_the_fill_value(tmp_path, level, order):
    sizes = {CHANNEL: 2, "y": 800, "x": 900}
    pixels = noise(tuple(sizes[name] for name in order))
    half = pixels[tuple(slice(None, None, 1 + (n != CHANNEL)) for n in order)]
    source = ExportSource("slide", (pixels, half), order, np.eye(3), (None, None))
    outline = ring(11, (400.3, 450.7), 340.1)
    region = ImageRegion(tuple(outline.min(0)), tuple(outline.max(0)), "", outline)
    path = export_region(
        source, tmp_path / "a.npy", region=region, level=level, mask=True, fill_value=7
    )[0]
    scaled = outline / (1 + level)
    low = np.floor(scaled.min(0)).astype(int)
    high = np.ceil(scaled.max(0)).astype(int)
    inside = reference_mask(scaled - low, tuple(high - low))
    channel = order.index(CHANNEL)
    stored = np.moveaxis(source.levels[level], channel, 0)
    cut = stored[:, low[0] : high[0], low[1] : high[1]]
    expected = np.where(inside, cut, 7)
    assert np.array_equal(np.moveaxis(np.load(path), channel, 0), expected)


def test_an_outline_on_other_axes_of_a_stack(tmp_path):
    pixels = noise((30, 30, 40))
    outline = np.array([[2, 5], [2, 25], [12, 15.37]])  # x, z
    region = ImageRegion((5, 0, 2), (25, 30, 12), "", outline[:, ::-1], (0, 2))
    source = slide(pixels, ("z", "y", "x"))
    path = export_region(source, tmp_path / "a.npy", region=region, mask=True)[0]
    inside = reference_mask(outline[:, ::-1] - [5, 2], (20, 10))
    expected = np.where(inside[:, None, :], pixels[5:25, :, 2:12], 0)
    assert np.array_equal(np.load(path), expected)
    flipped = ImageRegion((5, 0, 2), (25, 30, 12), "", outline, (2, 0))
    path = export_region(source, tmp_path / "b.npy", region=flipped, mask=True)[0]
    assert np.array_equal(np.load(path), expected)


@pytest.mark.parametrize("n_channels", [0, 3, 4])
def test_pixels_outside_can_be_transparent(tmp_path, n_channels):
    from PIL import Image

    order = (CHANNEL, "y", "x") if n_channels else ("y", "x")
    pixels = noise((n_channels, 90, 80) if n_channels else (90, 80))
    outline = ring(9, (40, 40), 30.2)
    region = ImageRegion((0, 0), (90, 80), "", outline)
    source = slide(pixels, order, is_rgb=bool(n_channels))
    path = export_region(source, tmp_path / "a.png", region=region, alpha=True)[0]
    inside = reference_mask(outline, (90, 80))
    with Image.open(path) as image:
        found = np.asarray(image)
    colours = np.moveaxis(pixels[:3], 0, -1) if n_channels else pixels[..., None]
    assert np.array_equal(found[..., :-1], colours)
    own = pixels[3] if n_channels == 4 else 255
    assert np.array_equal(found[..., -1], np.where(inside, own, 0))


def test_transparent_colours_in_tiff(tmp_path):
    import tifffile

    pixels = noise((3, 90, 80))
    region = ImageRegion((0, 0), (90, 80), "", ring(9, (40, 40), 30.2))
    source = slide(pixels, is_rgb=True)
    path = export_region(
        source, tmp_path / "a.tif", region=region, alpha=True, pyramid=True
    )[0]
    found = tifffile.imread(path)
    assert np.array_equal(found[:3], pixels)
    assert set(np.unique(found[3])) == {0, 255}


def test_a_large_outline_takes_no_time_per_corner_and_pixel(tmp_path):
    """A hand-drawn outline of 2000 corners over 9 megapixels."""
    import time

    pixels = np.ones((3000, 3000), "uint8")
    outline = ring(2000, (1500, 1500), 1490)
    region = ImageRegion((0, 0), (3000, 3000), "", outline)
    start = time.perf_counter()
    path = export_region(
        slide(pixels, ("y", "x")), tmp_path / "a.npy", region=region, mask=True
    )[0]
    assert time.perf_counter() - start < 10
    share = np.load(path).mean()
    assert share == pytest.approx(np.pi * 1490**2 / 3000**2, rel=1e-4)
