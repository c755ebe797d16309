"""read_spatial_region against the live oracle, over many random regions."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

import napari_msimage

from .cases import CASES_BY_NAME, ImageCase
from .describe import read_facts
from .oracle import UpstreamError
from .store_suite import write_case

IMAGES = [
    ImageCase(
        "odd",
        {"level0": (10, 20), "level1": (5, 10), "odd": (3, 7), "one": (1, 1)},
        dtype="int32",
        has_channel=False,
    ),
    CASES_BY_NAME["cyx"],
    CASES_BY_NAME["yxc"],
    CASES_BY_NAME["ycx"],
    CASES_BY_NAME["xy"],
    CASES_BY_NAME["yx_units"],
]
N_REGIONS = 60


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return {
        case.name: write_case(napari_msimage, case, str(folder / case.name))
        for case in IMAGES
    }


@pytest.fixture
def pair(stores, case, oracle):
    uri = stores[case.name]
    with (
        napari_msimage.MultiscaleImage.open(uri) as ours,
        oracle.MultiscaleImage.open(uri) as upstream,
    ):
        yield ours, upstream


def random_regions(case, rng):
    """Boxes around, in and outside the image, many on whole and half pixels."""
    size = dict(zip(case.data_axes, case.first[1], strict=True))
    width, height = (size[axis] for axis in case.axis_names)
    for number in range(N_REGIONS):
        corners = rng.uniform(-0.4, 1.4, 4) * [width, height, width, height]
        if number % 3 == 0:
            corners = np.round(corners)
        elif number % 3 == 1:
            corners = np.round(corners * 2) / 2
        yield tuple(corners.tolist())


def outcome(image, level, region, **options):
    """The facts of a read, or the built-in kind of its error."""
    try:
        read = image.read_spatial_region(level, region, **options)
    except (UpstreamError, napari_msimage.SOMAError) as error:
        for kind in (NotImplementedError, IndexError, KeyError, TypeError, ValueError):
            if isinstance(error, kind):
                return kind.__name__
        return "SOMAError"
    facts = read_facts(read)
    matrix = np.array(facts["transform"].pop("matrix"))
    facts["transform"].pop("repr")  # compared as numbers
    facts["transform"].pop("scale_factors", None)
    facts["transform"].pop("scale", None)
    return facts, matrix


def assert_equal_outcomes(pair, level, region, upstream_options=None, **options):
    ours, upstream = pair
    mine = outcome(ours, level, region, **options)
    theirs = outcome(upstream, level, region, **(upstream_options or options))
    where = f"level {level}, region {region}, {options}"
    assert type(mine) is type(theirs), (where, mine, theirs)
    if isinstance(mine, str):
        # a plain SOMAError says nothing of its kind
        assert theirs in (mine, "SOMAError"), where
        return
    assert mine[0] == theirs[0], where
    np.testing.assert_allclose(mine[1], theirs[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", IMAGES, ids=lambda case: case.name)
def test_random_boxes(pair, case):
    rng = np.random.default_rng(1)
    for region in random_regions(case, rng):
        for level in range(len(case.levels)):
            assert_equal_outcomes(pair, level, region)


@pytest.mark.parametrize("case", IMAGES, ids=lambda case: case.name)
def test_random_boxes_through_a_scale(pair, case, oracle):
    rng = np.random.default_rng(2)
    for region in random_regions(case, rng):
        factors = rng.choice([-2.0, -1.0, 0.5, 1.0, 1.5, 3.0], 2).tolist()
        ours, theirs = (
            {"region_transform": soma.ScaleTransform(("a", "b"), ("x", "y"), factors)}
            for soma in (napari_msimage, oracle)
        )
        level = int(rng.integers(len(case.levels)))
        assert_equal_outcomes(pair, level, region, theirs, **ours)


@pytest.mark.parametrize("case", IMAGES[:1], ids=lambda case: case.name)
@pytest.mark.parametrize("kind", ["IdentityTransform", "UniformScaleTransform"])
def test_other_transforms(pair, case, oracle, kind):
    arguments = (("a", "b"), ("x", "y")) + ((0.75,) * (kind[0] == "U"))
    ours, theirs = (
        {
            "region_transform": getattr(soma, kind)(*arguments),
            "region_coord_space": soma.CoordinateSpace(
                [soma.Axis("a", "mm"), soma.Axis("b", None)]
            ),
        }
        for soma in (napari_msimage, oracle)
    )
    rng = np.random.default_rng(3)
    for region in [None, *random_regions(case, rng)]:
        for level in range(len(case.levels)):
            assert_equal_outcomes(pair, level, region, theirs, **ours)


@pytest.mark.parametrize("case", IMAGES[:1], ids=lambda case: case.name)
def test_random_geometries(pair, case):
    rng = np.random.default_rng(4)
    for number in range(N_REGIONS):
        points = rng.uniform(-0.3, 1.3, (number % 6 + 1, 2)) * (20, 10)
        geometry = shapely.MultiPoint(points)
        if number % 2:
            geometry = geometry.convex_hull
        assert_equal_outcomes(pair, number % 4, geometry)


@pytest.mark.parametrize("case", IMAGES[1:4], ids=lambda case: case.name)
def test_channels(pair, case):
    n_channels = pair[0].nchannels
    bounds = [None, *range(n_channels + 2)]
    choices = [
        *range(-1, n_channels + 2),
        *(slice(a, b) for a in bounds for b in bounds),
        True,
        False,
        slice(-2, -1),
        slice(0, 2, 2),
        1.0,
        "a",
    ]
    for channels in choices:
        assert_equal_outcomes(pair, 0, (1, 2, 9, 7), channel_coords=channels)


@pytest.mark.parametrize("case", IMAGES[:2], ids=lambda case: case.name)
@pytest.mark.parametrize(
    "region",
    [(1, 2, 3), (1, 2, 3, 4, 5, 6), (), [0, 0, 1, 1], np.array([0, 0, 1, 1]), "abcd"],
    ids=str,
)
def test_forms_of_regions(pair, case, region):
    if isinstance(region, str):  # upstream: ValueError while converting letters
        assert outcome(pair[0], 0, region) in ("ValueError", "TypeError")
        return
    assert_equal_outcomes(pair, 0, region)
