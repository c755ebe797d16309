"""write_layers and napari's own saving: what is written comes back the same."""

from __future__ import annotations

import logging
from pathlib import Path

import dask.array as da
import npe2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points

from napari_msimage import MultiscaleImage, write_layers
from napari_msimage.errors import (
    AlreadyExistsError,
    ArgumentError,
    ArgumentTypeError,
    SaveError,
    StoreWarning,
)
from napari_msimage.plugin import _writer, read_hints, write_hints
from napari_msimage.plugin._looks import layers_to_hints
from napari_msimage.plugin._open import OpenRequest, add_layers, read_layers

RNG = np.random.default_rng(11)
COMPARED = (
    "name", "visible", "opacity", "blending", "gamma", "contrast_limits",
    "contrast_limits_range", "interpolation2d", "interpolation3d", "rendering",
    "iso_threshold", "attenuation", "projection_mode", "depiction", "rgb", "units",
)  # fmt: skip


#: Names of axes, some of which a coordinate space cannot have.
LABELS = st.sampled_from(
    [("z", "y", "x"), ("depth", "row", "column"), ("a", "soma_x", "b"), ("t", "x", "x")]
)


def noise(*shape, dtype="uint8"):
    return RNG.integers(0, 200, shape).astype(dtype)


def reopened(uri):
    """Return the layers of a store in a viewer without a window."""
    return add_layers(ViewerModel(), read_layers(OpenRequest(uri)))


def assert_same(found, layer):
    """Compare pixels, place and looks of a layer with those of the original."""
    given = layer.data[0] if layer.multiscale else layer.data
    assert np.array_equal(np.asarray(found.data[0]), np.asarray(given))
    here, there = found.extent.world, layer.extent.world
    extent = np.ptp(there, axis=0).max() or 1
    assert np.abs(here - there).max() <= 1e-9 * extent
    for name in ("scale", "translate", "rotate", "shear"):
        assert np.array_equal(getattr(found, name), getattr(layer, name)), name
    assert np.array_equal(found.affine.affine_matrix, layer.affine.affine_matrix)
    for name in COMPARED:
        if "limits" in name and (
            name.endswith("range") or getattr(layer, "rgb", False)
        ):
            continue  # of no effect on colours
        if hasattr(layer, name):
            assert getattr(found, name) == getattr(layer, name), name


@pytest.mark.parametrize(
    "data",
    [
        noise(97, 130, dtype="uint16"),
        noise(97, 130, dtype="float32") / 7,
        noise(97, 130, 3),
        noise(97, 130, 4, dtype="uint16"),
        noise(5, 97, 130, dtype="int16"),
        noise(7, 40, 50, 3),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_an_image_comes_back(tmp_uri, data):
    rgb = data.shape[-1] < 5
    layer = Image(
        data, name="my cells", rgb=rgb, units="um", opacity=0.4, blending="minimum",
        gamma=0.7, visible=False, interpolation2d="cubic", metadata={"a": [1, None]},
    )  # fmt: skip
    if not rgb:
        layer.colormap = "#ff8000"
        layer.contrast_limits_range = (-5, 999)
    assert write_layers(tmp_uri, layer) == [tmp_uri]
    (found,) = reopened(tmp_uri)
    assert_same(found, layer)
    assert found.metadata["a"] == [1, None]
    if not rgb:
        assert found.colormap.name == "#ff8000"
        assert found.contrast_limits_range == [-5, 999]


def test_labels_come_back(tmp_uri):
    layer = Labels(noise(97, 130, dtype="int32"), name="nuclei", opacity=0.2)
    layer.contour = 3
    layer.colormap = {1: "red", None: "blue"}
    write_layers(tmp_uri, layer)
    (found,) = reopened(tmp_uri)
    assert isinstance(found, Labels)
    assert_same(found, layer)
    assert found.contour == 3
    values = np.arange(5)
    assert np.array_equal(found.colormap.map(values), layer.colormap.map(values))


def test_large_labels_get_levels_of_labels(tmp_uri):
    data = np.kron(noise(140, 150, dtype="uint16"), np.ones((8, 8), "uint16"))
    write_layers(tmp_uri, Labels(data, name="a"))
    with MultiscaleImage.open(tmp_uri) as image:
        coarse = np.asarray(image.level_array(-1))
        assert max(coarse.shape) <= 512
        assert set(np.unique(coarse)) <= set(np.unique(data))
    (found,) = reopened(tmp_uri)
    assert isinstance(found, Labels)
    assert len(found.data) == image.level_count


def test_multiscale_layers_come_back_with_their_levels(tmp_uri):
    levels = [noise(1200, 1100), noise(600, 550), noise(30, 20)]
    write_layers(tmp_uri, Image(levels, name="a"))
    (found,) = reopened(tmp_uri)
    assert found.data.shapes == tuple(level.shape for level in levels)
    for one, other in zip(found.data, levels, strict=True):
        assert np.array_equal(np.asarray(one), other)


def test_layers_of_our_own_images_are_written_again(tmp_uri, tmp_path):
    write_layers(tmp_uri, Image(noise(700, 600), name="a"))
    (first,) = reopened(tmp_uri)
    copy = str(tmp_path / "copy.soma")
    write_layers(copy, first)
    (second,) = reopened(copy)
    assert_same(second, first)
    assert second.metadata["napari_msimage"]["uri"] == copy


def test_channels_come_back_as_layers(tmp_uri):
    layers = [
        Image(noise(97, 130), name="DAPI", colormap="blue", contrast_limits=(3, 90)),
        Image(noise(97, 130), name="CD3", colormap="red", visible=False, opacity=0.5),
    ]
    write_layers(tmp_uri, layers, channels=True)
    found = reopened(tmp_uri)
    assert len(found) == 2
    for one, other in zip(found, layers, strict=True):
        assert_same(one, other)
        assert one.colormap.name == other.colormap.name
    with MultiscaleImage.open(tmp_uri) as image:
        assert image.data_axis_order == ("soma_channel", "y", "x")


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    n=st.sampled_from([2, 3]),
    kinds=st.lists(st.sampled_from(["gray", "rgb", "labels"]), min_size=1, max_size=3),
    units=st.sampled_from(["pixel", "um", "nm"]),
    data=st.data(),
)
def test_scenes_come_back(tmp_path_factory, n, kinds, units, data):
    numbers = st.floats(-1e6, 1e6)
    sizes = (5, 23, 31)[-n:]
    layers = []
    for index, kind in enumerate(kinds):
        attributes = {
            "name": f"layer {index}",
            "units": units,
            "scale": data.draw(st.lists(st.floats(0.01, 50), min_size=n, max_size=n)),
            "translate": data.draw(st.lists(numbers, min_size=n, max_size=n)),
            "opacity": data.draw(st.floats(0, 1)),
            "axis_labels": data.draw(LABELS)[-n:],
        }
        if data.draw(st.booleans()):
            attributes["rotate"] = 30 if n == 2 else (10, 20, 30)
            attributes["shear"] = [0.1, 0.2, -0.3][: n * (n - 1) // 2]
        if kind == "labels":
            layers.append(Labels(noise(*sizes, dtype="int32"), **attributes))
        elif kind == "rgb":
            layers.append(Image(noise(*sizes, 3), rgb=True, **attributes))
        else:
            layers.append(Image(noise(*sizes, dtype="uint16"), **attributes))
    uri = str(tmp_path_factory.mktemp("scenes") / "scene.soma")
    write_layers(uri, layers)
    found = reopened(uri)
    assert len(found) == len(layers)
    for one, other in zip(found, layers, strict=True):
        assert type(one) is type(other)
        assert_same(one, other)
        assert one.axis_labels == other.axis_labels


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    names=st.lists(st.sampled_from(["", " ", "a", "a b"]), min_size=1, max_size=3),
    kind=st.sampled_from(["gray", "rgb", "labels"]),
    as_channels=st.booleans(),
    data=st.data(),
)
def test_names_and_labels_of_tuples_come_back(
    tmp_path_factory, names, kind, as_channels, data
):
    rgb, labels = kind == "rgb", [data.draw(LABELS)[1:] for _ in names]
    shape = (9, 13, 3) if rgb else (9, 13)
    layers = [
        (
            noise(*shape),
            {"name": name, "axis_labels": label} | ({"rgb": rgb} if rgb else {}),
            "labels" if kind == "labels" else "image",
        )
        for name, label in zip(names, labels, strict=True)
    ]
    uri = str(tmp_path_factory.mktemp("names") / "a.soma")
    write_layers(uri, layers, channels=as_channels and kind == "gray")
    found = read_layers(OpenRequest(uri))
    assert [arguments["name"] for _, arguments, _ in found] == names
    assert [arguments["axis_labels"] for _, arguments, _ in found] == labels


def test_layers_of_a_channel_axis_keep_their_labels(tmp_uri):
    layer = Image(noise(2, 9, 13), axis_labels=("c", "soma_a", "soma_b"))
    write_layers(tmp_uri, layer, channel_axis=0)
    for found in reopened(tmp_uri):
        assert found.axis_labels == ("soma_a", "soma_b")


def test_labels_come_back_with_other_display_settings(tmp_uri):
    write_layers(tmp_uri, Image(noise(9, 13), axis_labels=("soma_a", "soma_b")))
    layers = reopened(tmp_uri)
    layers[0].colormap = "red"
    with MultiscaleImage.open(tmp_uri) as image:
        hints = layers_to_hints(layers, read_hints(image.metadata), 1)
    write_hints(tmp_uri, hints)
    (found,) = reopened(tmp_uri)
    assert (found.colormap.name, found.axis_labels) == ("red", ("soma_a", "soma_b"))


def test_lazy_pixels_stay_lazy(tmp_uri):
    largest = []

    def block(info=None, block_info=None):
        shape = block_info[None]["chunk-shape"]
        largest.append(int(np.prod(shape)))
        return np.full(shape, 7, "uint8")

    lazy = da.map_blocks(block, chunks=((500,) * 4, (500,) * 4), dtype="uint8")
    done = []
    write_layers(tmp_uri, (lazy, {"name": "a"}), progress=done.append)
    assert max(largest) == 500 * 500
    assert len(done) > 1
    assert done[-1].fraction == 1
    with MultiscaleImage.open(tmp_uri) as image:
        assert np.asarray(image.level_array(0)).min() == 7


def test_points_are_left_out_with_a_warning(tmp_uri):
    layers = [Image(noise(9, 13), name="a"), Points(np.zeros((2, 2)), name="spots")]
    with pytest.warns(StoreWarning, match=r"not saved: 'spots' \(points\)"):
        write_layers(tmp_uri, layers)
    assert reopened(tmp_uri)[0].name == "a"


def test_conversions_are_told(tmp_uri, caplog):
    with caplog.at_level(logging.INFO):
        write_layers(tmp_uri, Image(np.ones((9, 13), bool), name="a"))
    assert "bool pixels as uint8" in caplog.text
    assert np.asarray(reopened(tmp_uri)[0].data[0]).dtype == np.uint8


def test_names_without_an_ending_and_paths_are_taken(tmp_path):
    place = tmp_path / "plain"
    assert write_layers(place, (noise(9, 13),)) == [str(place)]
    assert reopened(str(place))[0].name == "plain"


@pytest.mark.parametrize("odd", [None, 5, np.zeros((9, 8))], ids=str)
def test_what_is_no_layer_is_refused(tmp_path, odd):
    with pytest.raises(ArgumentTypeError, match=r"Expected napari layers .* got"):
        write_layers(tmp_path / "a.soma", odd)


def test_addresses_are_text(tmp_path):
    layer = (np.zeros((9, 8), "uint8"),)
    with pytest.raises(ArgumentTypeError, match="uri must be a str"):
        write_layers(bytes(tmp_path), layer)
    with pytest.raises(ArgumentError, match="non-empty"):
        write_layers("", layer)


def test_nothing_is_written_over(tmp_uri):
    write_layers(tmp_uri, Image(noise(9, 13), name="a"))
    with pytest.raises(AlreadyExistsError):
        write_layers(tmp_uri, Image(noise(9, 13), name="b"))
    assert reopened(tmp_uri)[0].name == "a"
    write_layers(tmp_uri, Image(noise(9, 13), name="b"), replace=True)
    assert reopened(tmp_uri)[0].name == "b"


def test_the_image_that_is_read_is_not_written_over(tmp_uri):
    write_layers(tmp_uri, Image(noise(9, 13), name="a"))
    (layer,) = reopened(tmp_uri)
    for layers in (layer, [layer, layer]):
        with pytest.raises(ArgumentError, match=r"layer to be saved shows the image"):
            write_layers(tmp_uri, layers, channels=layers is not layer, replace=True)
    with pytest.raises(ArgumentError, match="inside of"):
        write_layers(f"{tmp_uri}/inner.soma", layer)


def test_failures_leave_nothing(tmp_uri, tmp_path):
    def explode(block):
        raise OSError("the disk is gone")

    lazy = da.zeros((99, 99), chunks=50).map_blocks(
        explode, dtype=float, meta=np.zeros((0, 0))
    )
    with pytest.raises(OSError, match="the disk is gone"):
        write_layers(tmp_uri, (lazy, {"name": "a"}))
    assert list(tmp_path.iterdir()) == []


# Through napari


@pytest.fixture
def plugins():
    """Let napari know this plugin, as when it was started."""
    manager = npe2.PluginManager.instance()
    if "napari-msimage" not in manager:
        manager.register(npe2.PluginManifest.from_distribution("napari-msimage"))
    return manager


def test_saving_all_layers(tmp_uri, plugins):
    viewer = ViewerModel()
    viewer.add_image(noise(97, 130), name="a")
    viewer.add_labels(noise(97, 130, dtype="int16"), name="b", scale=(2, 2))
    viewer.add_points(np.zeros((2, 2)), name="spots")
    with pytest.warns(StoreWarning, match="'spots'"):
        written = viewer.layers.save(tmp_uri, plugin="napari-msimage")
    assert written == [tmp_uri]
    assert [layer.name for layer in reopened(tmp_uri)] == ["a", "b"]


def test_saving_selected_layers_without_naming_the_plugin(tmp_uri, plugins):
    viewer = ViewerModel()
    layer = viewer.add_image(noise(97, 130), name="a")
    viewer.add_labels(noise(97, 130, dtype="int16"), name="b")
    viewer.layers.selection = {layer}
    assert viewer.layers.save(tmp_uri, selected=True) == [tmp_uri]
    assert reopened(tmp_uri)[0].name == "a"


def test_what_is_wrong_is_raised_and_not_hidden_by_napari(tmp_uri, plugins):
    viewer = ViewerModel()
    viewer.add_image(noise(3, 4, 5, 6), name="movie")
    with pytest.raises(NotImplementedError, match="'movie' has 4 axes"):
        viewer.layers.save(tmp_uri, plugin="napari-msimage")
    viewer.layers.clear()
    viewer.add_points(np.zeros((2, 2)), name="spots")
    with pytest.raises(SaveError, match="None of the layers can be saved"):
        viewer.layers.save(tmp_uri, plugin="napari-msimage")
    assert not Path(tmp_uri).exists()


@pytest.fixture
def told(monkeypatch):
    """Pretend that a person waits; return what is told."""
    found = []
    monkeypatch.setattr("napari_msimage.plugin._notices.is_interactive", lambda: True)
    monkeypatch.setattr(
        "napari_msimage.plugin._notices.tell",
        lambda message, severity="info": found.append((severity, message)),
    )
    return found


def test_in_the_window_left_out_layers_are_told(tmp_uri, told):
    layers = [
        (noise(9, 13), {"name": "a"}, "image"),
        (np.zeros((2, 2)), {"name": "spots"}, "points"),
    ]
    assert _writer.write(tmp_uri, layers) == [tmp_uri]
    ((severity, message),) = told
    assert severity == "warning"
    assert "'spots' (points)" in message


def test_in_the_window_errors_are_one_message(tmp_uri, told):
    with pytest.raises(SaveError, match="None of the layers"):
        _writer.write(tmp_uri, [(np.zeros((2, 2)), {"name": "spots"}, "points")])
    assert told == []


def test_saving_can_be_cancelled(tmp_uri, tmp_path, told, monkeypatch):
    from napari.utils import cancelable_progress

    monkeypatch.setattr(cancelable_progress, "update", lambda self, n: self.cancel())
    layers = [(da.zeros((3000, 3000), chunks=500), {"name": "a"}, "image")]
    with pytest.raises(SaveError, match="cancelled; nothing is left"):
        _writer.write(tmp_uri, layers)
    assert list(tmp_path.iterdir()) == []


# Names


def test_layers_without_a_name_are_called_so(tmp_uri):
    with pytest.raises(ArgumentError) as caught:
        write_layers(tmp_uri, (np.zeros((0, 5)),))
    assert "''" not in str(caught.value)
    assert str(caught.value).startswith("The image layer without a name has no pixels")


def test_messages_begin_one_sentence(tmp_uri):
    layers = [Image(noise(9, 13), name="a"), Image(noise(5, 9, 13), name="b")]
    with pytest.raises(ArgumentError, match="spatial axes, the image layer 'b' has 3"):
        write_layers(tmp_uri, layers)


def test_napari_adds_the_ending_to_the_name_of_one_layer(tmp_path, plugins):
    viewer = ViewerModel()
    viewer.add_image(noise(9, 13), name="a")
    written = viewer.layers.save(str(tmp_path / "x"), plugin="napari-msimage")
    assert written == [str(tmp_path / "x.soma")]


@pytest.mark.parametrize(("n", "name"), [(1, "x.zzz"), (2, "x.zzz"), (2, "x")])
def test_of_other_endings_napari_itself_warns(tmp_path, plugins, n, name):
    viewer = ViewerModel()
    for _ in range(n):
        viewer.add_image(noise(9, 13))
    with pytest.warns(UserWarning, match="'napari-msimage' is not a valid writer for"):
        assert viewer.layers.save(str(tmp_path / name), plugin="napari-msimage") == []
    assert list(tmp_path.iterdir()) == []
