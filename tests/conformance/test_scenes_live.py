"""Collections and scenes live, both ways: one library writes, both read the same."""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import napari_msimage
from napari_msimage.errors import UnsupportedError

from .describe import image_facts, space_facts, transform_facts
from .scene_store import (
    IMAGE,
    PIXELS,
    T0,
    XY,
    collection_facts,
    scene_facts,
    transforms_of,
)
from .store_suite import write
from .suite_collections import NAMES

WRITERS = ("ours", "upstream")
UNITS = (("x", "µm"), ("y", None))


@pytest.fixture
def libraries(oracle):
    return {"ours": napari_msimage, "upstream": oracle}


@pytest.fixture
def uri(tmp_path):
    return str(tmp_path / "slide.soma")


def other(writer):
    return "upstream" if writer == "ours" else "ours"


def space(soma, *axes):
    return soma.CoordinateSpace([soma.Axis(*axis) for axis in axes])


def fill_scene(soma, scene, transforms):
    """Images with two levels and a transform each, and empty collections."""
    scene.add_new_collection("img")
    scene.add_new_collection("obsl")
    scene.add_new_collection("varl").add_new_collection("RNA")
    for key, transform in transforms.items():
        image = scene.add_new_multiscale_image(key, "img", transform=transform, **IMAGE)
        write(image["level0"], PIXELS)
        half = np.ascontiguousarray(PIXELS[:, ::2, ::3])
        write(image.add_new_level("half", shape=half.shape), half)
        image.close()


def both(libraries, kind, uri, facts, **options):
    """What both libraries say; checked to be the same."""
    found = {}
    for name, soma in libraries.items():
        with getattr(soma, kind).open(uri, **options) as opened:
            found[name] = facts(opened)
    assert found["ours"] == found["upstream"]
    return found["ours"]


@pytest.mark.parametrize("writer", WRITERS)
def test_scene_with_every_transform_is_the_same(libraries, uri, writer):
    soma = libraries[writer]
    transforms = {**transforms_of(soma), "none": None}
    with soma.Scene.create(uri, coordinate_space=space(soma, *UNITS)) as scene:
        scene.metadata["note"] = "kept"
        fill_scene(soma, scene, transforms)
    facts = both(libraries, "Scene", uri, scene_facts)
    assert facts["space"] == list(UNITS)
    assert facts["keys"] == ["img", "obsl", "varl"]
    assert facts["img"]["keys"] == sorted(transforms)
    assert facts["to none"] is None
    for key, transform in transforms.items():
        if transform is not None:
            assert facts[f"to {key}"][0] == transform_facts(transform)
    for soma in libraries.values():
        with soma.Scene.open(uri) as scene:
            assert list(scene.varl) == ["RNA"]


@pytest.mark.parametrize("writer", WRITERS)
def test_images_in_scenes_are_the_same(libraries, uri, writer):
    soma = libraries[writer]
    with soma.Scene.create(uri, coordinate_space=space(soma, *UNITS)) as scene:
        fill_scene(soma, scene, {"a b/ä": transforms_of(soma)["affine"]})
    found = {}
    for name, soma in libraries.items():
        with soma.Scene.open(uri) as scene:
            found[name] = image_facts(scene.img["a b/ä"])
    assert found["ours"] == found["upstream"]


@pytest.mark.parametrize("writer", WRITERS)
def test_names_are_the_same(libraries, uri, writer):
    soma = libraries[writer]
    with soma.Collection.create(uri) as made:
        for name in NAMES:
            made.add_new_collection(name)
    facts = both(libraries, "Collection", uri, collection_facts)
    assert set(facts["keys"]) == set(NAMES)


@pytest.mark.parametrize("writer", WRITERS)
def test_scenes_in_collections_are_the_same(libraries, uri, writer):
    soma = libraries[writer]
    with soma.Collection.create(uri) as outer:
        scene = outer.add_new_collection(
            "scene 1", soma.Scene, coordinate_space=space(soma, *UNITS)
        )
        fill_scene(soma, scene, transforms_of(soma))
        scene.close()
        outer.add_new_collection("bare", soma.Scene)
        outer.add_new_dense_ndarray("array", type=pa.int16(), shape=(3, 4))
    both(libraries, "Collection", uri, collection_facts)
    both(libraries, "Scene", f"{uri}/scene%201", scene_facts)
    for soma in libraries.values():
        with soma.Collection.open(uri) as outer:
            assert space_facts(outer["scene 1"].coordinate_space) == list(UNITS)
            assert outer["bare"].coordinate_space is None
            assert outer["array"].shape == (3, 4)


@pytest.mark.parametrize("editor", WRITERS)
@pytest.mark.parametrize("writer", WRITERS)
def test_changes_by_either_library_are_the_same(libraries, uri, writer, editor):
    soma = libraries[writer]
    with soma.Scene.create(uri, coordinate_space=XY) as scene:
        fill_scene(soma, scene, transforms_of(soma))
    soma = libraries[editor]
    with soma.Scene.open(uri, "w") as scene:
        scene.coordinate_space = space(soma, *UNITS)
        scaling = soma.ScaleTransform(XY, XY, [3, 4])
        scene.set_transform_to_multiscale_image("affine", transform=scaling)
        scene.add_new_multiscale_image("new", "img", transform=scaling, **IMAGE)
        scene.img.metadata["note"] = 1
    with soma.Scene.open(uri, "d") as scene:
        del scene["obsl"]
        del scene.img["uniform"]
    found = {}
    for name, soma in libraries.items():
        with soma.Scene.open(uri) as scene:
            found[name] = scene_facts(scene)
    facts = found["ours"]
    assert facts == found["upstream"]
    assert facts["keys"] == ["img", "varl"]
    assert facts["img"]["keys"] == ["affine", "identity", "new", "scale"]
    assert facts["to affine"][0]["scale_factors"] == [3.0, 4.0]


@pytest.mark.parametrize("writer", WRITERS)
def test_history_is_the_same(libraries, uri, writer):
    soma = libraries[writer]
    with soma.Scene.create(uri, coordinate_space=XY, tiledb_timestamp=T0) as scene:
        fill_scene(soma, scene, transforms_of(soma))
    with soma.Scene.open(uri, "w", tiledb_timestamp=T0 + 1000) as scene:
        scene.coordinate_space = space(soma, *UNITS)
        scaling = soma.ScaleTransform(XY, XY, [3, 4])
        scene.add_new_multiscale_image("new", "img", transform=scaling, **IMAGE)
        scene.set_transform_to_multiscale_image("affine", transform=scaling)
    with soma.Scene.open(uri, "d", tiledb_timestamp=T0 + 2000) as scene:
        del scene["obsl"]
    for age in (0, 500, 1000, 2000):
        facts = both(libraries, "Scene", uri, scene_facts, tiledb_timestamp=T0 + age)
        assert ("new" in facts["img"]["keys"]) == (age >= 1000)
        assert ("obsl" in facts["keys"]) == (age < 2000)
        assert (facts["space"] == list(UNITS)) == (age >= 1000)
    for soma in libraries.values():
        assert not soma.Scene.exists(uri, tiledb_timestamp=T0 - 1)


finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
names = st.text("abcxyzµ日 /'\"\\", min_size=1, max_size=4)


@st.composite
def drawn_transforms(draw):
    """A transform of any type, from and to one to three axes."""
    count = draw(st.integers(1, 3))
    axes = [
        tuple(draw(st.lists(names, min_size=count, max_size=count, unique=True)))
        for _ in range(2)
    ]
    match draw(st.sampled_from(["identity", "uniform", "scale", "affine"])):
        case "identity":
            return ("IdentityTransform", *axes)
        case "uniform":
            return ("UniformScaleTransform", *axes, draw(finite))
        case "scale":
            factors = draw(st.lists(finite, min_size=count, max_size=count))
            return ("ScaleTransform", *axes, factors)
        case _:
            row = st.lists(finite, min_size=count + 1, max_size=count + 1)
            matrix = draw(st.lists(row, min_size=count, max_size=count))
            return ("AffineTransform", *axes, matrix)


def register(soma, uri, made):
    """Write a scene with an image to which one transform leads."""
    kind, to, of, *numbers = made
    transform = getattr(soma, kind)(to, of, *numbers)
    with soma.Scene.create(uri, coordinate_space=to) as scene:
        scene.add_new_collection("img")
        scene.add_new_multiscale_image(
            "a",
            "img",
            transform=transform,
            coordinate_space=of,
            type=pa.uint8(),
            level_shape=(1,) * len(of),
            has_channel_axis=False,
        )
    return transform_facts(transform)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(made=drawn_transforms(), writer=st.sampled_from(WRITERS))
@example(made=("ScaleTransform", XY, XY, [-0.0, 5e-324]), writer="ours")
@example(
    made=("AffineTransform", XY, ("v", "u"), [[1e308, -1e308, 0.1], [1 / 3, 0, 7]]),
    writer="upstream",
)
def test_any_transform_comes_back_exactly(libraries, tmp_path_factory, made, writer):
    uri = str(tmp_path_factory.mktemp("drawn") / "slide.soma")
    expected = register(libraries[writer], uri, made)
    for soma in libraries.values():
        with soma.Scene.open(uri) as scene:
            to = scene.get_transform_to_multiscale_image("a")
            assert transform_facts(to) == expected


# What this package does not open ----------------------------------------------------


@pytest.fixture
def spots(libraries, uri):
    """A scene with a point cloud by upstream."""
    soma = libraries["upstream"]
    schema = soma.evaluate(
        "__import__('pyarrow').schema([('x', 'float64'), ('y', 'float64'),"
        " ('soma_joinid', 'int64'), ('n', 'int32')])"
    )
    with soma.Scene.create(uri, coordinate_space=XY) as scene:
        scene.add_new_collection("obsl")
        scene.add_new_point_cloud_dataframe(
            "loc",
            "obsl",
            transform=soma.UniformScaleTransform(XY, XY, 2.0),
            schema=schema,
            domain=[(0, 64), (0, 48), (0, 9)],
        ).close()
    return uri


def test_point_clouds_are_listed_but_not_opened(spots):
    with napari_msimage.Scene.open(spots) as scene:
        assert list(scene.obsl) == ["loc"]
        assert len(scene.obsl) == 1
        assert "loc" in scene.obsl
        assert scene.obsl.members()["loc"][1] == "SOMAArray"
        assert scene.obsl.member_type("loc") == "SOMAPointCloudDataFrame"
        with pytest.raises(
            UnsupportedError,
            match=r"'loc'.*'SOMAPointCloudDataFrame'.*tiledbsoma.PointCloudDataFrame",
        ):
            scene.obsl["loc"]


def test_transforms_to_point_clouds_are_shared(libraries, spots):
    ours, upstream = libraries["ours"], libraries["upstream"]
    with ours.Scene.open(spots, "w") as scene:
        to = scene.get_transform_to_point_cloud_dataframe("loc")
        assert transform_facts(to) == transform_facts(
            ours.UniformScaleTransform(XY, XY, 2.0)
        )
        scene.set_transform_to_point_cloud_dataframe(
            "loc", transform=ours.ScaleTransform(XY, XY, [2, 5])
        )
        with pytest.raises(ValueError, match="ends in the axes"):
            scene.set_transform_to_point_cloud_dataframe(
                "loc", transform=ours.ScaleTransform(XY, ("a", "b"), [2, 5])
            )
        with pytest.raises(TypeError, match="not a 'SOMAGeometryDataFrame'"):
            scene.set_transform_to_geometry_dataframe(
                "loc", transform=ours.ScaleTransform(XY, XY, [2, 5])
            )
        with pytest.raises(UnsupportedError, match="does not change dataframes"):
            scene.set_transform_to_point_cloud_dataframe(
                "loc",
                transform=ours.ScaleTransform(XY, XY, [2, 5]),
                coordinate_space=space(ours, *UNITS),
            )
    for soma in (ours, upstream):
        with soma.Scene.open(spots) as scene:
            back = scene.get_transform_from_point_cloud_dataframe("loc")
            expected = transform_facts(soma.ScaleTransform(XY, XY, [0.5, 0.2]))
            assert transform_facts(back) == expected


def test_members_of_other_types_can_be_removed(libraries, spots):
    with napari_msimage.Scene.open(spots, "d") as scene:
        del scene.obsl["loc"]
    for soma in libraries.values():
        with soma.Scene.open(spots) as scene:
            assert list(scene.obsl) == []


def test_experiments_are_walked_as_collections(libraries, uri):
    soma = libraries["upstream"]
    with soma.Experiment.create(uri) as experiment:
        experiment.add_new_collection("ms").add_new_collection("RNA", soma.Measurement)
        experiment.add_new_collection("spatial").add_new_collection(
            "scene 1", soma.Scene, coordinate_space=XY
        )
    with napari_msimage.Collection.open(uri) as opened:
        assert opened.soma_type == "SOMAExperiment"
        assert opened["ms"]["RNA"].soma_type == "SOMAMeasurement"
        scene = opened["spatial"]["scene 1"]
        assert isinstance(scene, napari_msimage.Scene)
        assert scene.coordinate_space.axis_names == XY
    assert napari_msimage.storage.probe(uri) == "SOMAExperiment"
    assert napari_msimage.Collection.exists(uri)
    assert not soma.Collection.exists(uri), "better: ours opens it as one"
    with pytest.raises(soma.SOMAError, match="not a SOMACollection"):
        soma.Collection.open(uri)


def test_images_added_to_experiments_of_upstream(libraries, uri):
    soma = libraries["upstream"]
    with soma.Experiment.create(uri) as experiment:
        experiment.add_new_collection("spatial").add_new_collection(
            "scene 1", soma.Scene, coordinate_space=XY
        )
    with napari_msimage.Collection.open(uri, "w") as opened:
        scene = opened["spatial"]["scene 1"]
        fill_scene(napari_msimage, scene, transforms_of(napari_msimage))
    facts = both(libraries, "Scene", f"{uri}/spatial/scene%201", scene_facts)
    assert facts["img"]["keys"] == ["affine", "identity", "scale", "uniform"]
    with soma.Experiment.open(uri) as experiment, warnings.catch_warnings():
        assert list(experiment.spatial["scene 1"].img) == facts["img"]["keys"]
