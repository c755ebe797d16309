"""Names, parameters and defaults are upstream's: only the import has to change."""

from __future__ import annotations

import inspect

import pytest

import napari_msimage

COLLECTION = [
    "exists",
    "create",
    "open",
    "reopen",
    "close",
    "verify_open_for_writing",
    "items",
    "keys",
    "values",
    "get",
    "set",
    "setdefault",
    "update",
    "clear",
    "pop",
    "popitem",
    "register",
    "members",
    "add_new_collection",
    "add_new_dense_ndarray",
    "add_new_sparse_ndarray",
    "add_new_dataframe",
    "uri",
    "context",
    "metadata",
    "mode",
    "closed",
    "soma_type",
    "tiledb_timestamp",
    "tiledb_timestamp_ms",
]
MEMBERS = {
    "MultiscaleImage": [
        "exists",
        "create",
        "open",
        "reopen",
        "close",
        "verify_open_for_writing",
        "items",
        "keys",
        "values",
        "get",
        "set",
        "setdefault",
        "update",
        "clear",
        "pop",
        "popitem",
        "get_transform_from_level",
        "get_transform_to_level",
        "level_shape",
        "level_uri",
        "levels",
        "read_spatial_region",
        "register",
        "add_new_level",
        "uri",
        "context",
        "metadata",
        "mode",
        "closed",
        "soma_type",
        "tiledb_timestamp",
        "tiledb_timestamp_ms",
        "coordinate_space",
        "data_axis_order",
        "has_channel_axis",
        "level_count",
        "nchannels",
    ],
    "Collection": COLLECTION,
    "Scene": [
        *COLLECTION,
        "coordinate_space",
        "img",
        "obsl",
        "varl",
        "add_new_multiscale_image",
        "add_new_point_cloud_dataframe",
        "add_new_geometry_dataframe",
        *(
            f"{verb}_{element}"
            for verb in (
                "set_transform_to",
                "get_transform_to",
                "get_transform_from",
            )
            for element in (
                "multiscale_image",
                "point_cloud_dataframe",
                "geometry_dataframe",
            )
        ),
    ],
    "DenseNDArray": [
        "create",
        "open",
        "exists",
        "read",
        "write",
        "shape",
        "maxshape",
        "ndim",
        "type",
        "schema",
        "is_sparse",
        "non_empty_domain",
        "resize",
        "uri",
        "mode",
        "soma_type",
        "metadata",
        "closed",
        "close",
        "context",
        "tiledb_timestamp",
        "tiledb_timestamp_ms",
    ],
}
CALLABLE = [
    (name, member)
    for name, members in MEMBERS.items()
    for member in members
    if callable(getattr(getattr(napari_msimage, name), member, None))
    and member not in ("register", "type")  # of ABCMeta; a property
]
#: Shown in upstream's signature although passing it is a TypeError there.
NOT_TAKEN = {
    ("add_new_level", "type"),
    ("add_new_dense_ndarray", "cls"),
    ("add_new_sparse_ndarray", "cls"),
}


@pytest.mark.parametrize(
    ("name", "member"),
    [(name, member) for name, members in MEMBERS.items() for member in members],
)
def test_member_exists_in_both(oracle, name, member):
    assert oracle.evaluate(f"hasattr(tiledbsoma.{name}, {member!r})")
    assert hasattr(getattr(napari_msimage, name), member)


@pytest.mark.parametrize(("name", "member"), CALLABLE)
def test_parameters_and_defaults_are_upstreams(oracle, name, member):
    ours = getattr(getattr(napari_msimage, name), member)
    expected = oracle.evaluate(
        "[(p.name, p.kind.name, 'nothing' if p.default is p.empty else "
        "getattr(p.default, 'value', p.default) if not type(p.default) is object else "
        "'marker') for p in __import__('inspect').signature("
        f"tiledbsoma.{name}.{member}).parameters.values()]"
    )
    expected = [row for row in expected if (member, row[0]) not in NOT_TAKEN]
    found = []
    for parameter in inspect.signature(ours).parameters.values():
        default = parameter.default
        if default is parameter.empty:
            default = "nothing"
        elif type(default) is object:
            default = "marker"
        found.append((parameter.name, parameter.kind.name, default))
    assert found == expected


@pytest.mark.parametrize(
    "name",
    [
        "Axis",
        "CoordinateSpace",
        "AffineTransform",
        "ScaleTransform",
        "UniformScaleTransform",
        "IdentityTransform",
    ],
)
def test_constructors_are_upstreams(oracle, name):
    expected = oracle.evaluate(
        f"list(__import__('inspect').signature(tiledbsoma.{name}).parameters)"
    )
    assert list(inspect.signature(getattr(napari_msimage, name)).parameters) == expected


def test_context_takes_upstreams_arguments_and_replaces():
    context = napari_msimage.SOMATileDBContext(
        tiledb_config={"vfs.s3.region": "eu-west-1"}, timestamp=5
    )
    assert context.timestamp_ms == 5
    assert context.tiledb_config["vfs.s3.region"] == "eu-west-1"
    changed = context.replace(tiledb_config={"vfs.s3.region": None}, timestamp=None)
    assert changed.timestamp_ms is None
    assert "vfs.s3.region" not in changed.tiledb_config
    assert context.timestamp_ms == 5
