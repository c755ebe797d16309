"""What tiledbsoma answers about images and scenes, as values that JSON can hold."""

from __future__ import annotations

import hashlib

import numpy as np
import tiledbsoma as soma

XY = ("x", "y")


def sha256(data):
    """Hash of the pixels, C order, little endian."""
    data = np.ascontiguousarray(data)
    return hashlib.sha256(
        data.astype(data.dtype.newbyteorder("<")).tobytes()
    ).hexdigest()


def number(value):
    """A pixel as JSON has it: NaN becomes null."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and value != value else value


def describe_transform(transform):
    if transform is None:
        return None
    facts = {
        "type": type(transform).__name__,
        "input_axes": list(transform.input_axes),
        "output_axes": list(transform.output_axes),
        "matrix": transform.augmented_matrix.tolist(),
    }
    if hasattr(transform, "scale_factors"):
        facts["scale_factors"] = transform.scale_factors.tolist()
    return facts


def describe_space(space):
    return [{"name": axis.name, "unit": axis.unit} for axis in space]


def describe_image(uri, path, regions=(), timestamp=None):
    """Everything that an image answers."""
    image = soma.MultiscaleImage.open(uri, tiledb_timestamp=timestamp)
    names = [level.name for level in image._levels]
    metadata = dict(image.metadata)
    facts = {
        "path": path,
        "tiledb_timestamp": timestamp,
        "soma_type": image.soma_type,
        "coordinate_space": describe_space(image.coordinate_space),
        "data_axis_order": list(image.data_axis_order),
        "has_channel_axis": image.has_channel_axis,
        "nchannels": image.nchannels,
        "level_count": image.level_count,
        "level_order": names,
        "keys": list(image.keys()),
        "dtype": None,
        "levels": [],
        "regions": [],
        "user_metadata": {
            key: value for key, value in metadata.items() if not key.startswith("soma_")
        },
        "raw_metadata": {
            key: value for key, value in metadata.items() if key.startswith("soma_")
        },
        "levels_call": describe_levels_call(image),
    }
    for index, name in enumerate(names):
        level = describe_level(image, index, name)
        facts["dtype"] = level.get("dtype", facts["dtype"])
        facts["levels"].append(level)
    facts["regions"] = [describe_region(image, region) for region in regions]
    image.close()
    return facts


def describe_levels_call(image):
    """What ``levels()`` gives; it fails when a level was deleted."""
    try:
        levels = image.levels()
    except KeyError as error:
        return {"raises": "KeyError", "key": error.args[0]}
    return {
        name: [uri.rsplit("/", 1)[1], list(shape)]
        for name, (uri, shape) in levels.items()
    }


def describe_level(image, index, name):
    facts = {
        "name": name,
        "index": index,
        "shape": list(image.level_shape(name)),
        "present": name in image,
        "to_level": describe_transform(image.get_transform_to_level(index)),
        "from_level": describe_transform(image.get_transform_from_level(name)),
    }
    if name not in image:
        return facts
    data = image[name].read().to_numpy()
    shape = data.shape
    places = (
        [0] * len(shape),
        [size - 1 for size in shape],
        [size // 2 for size in shape],
        [size // 3 for size in shape],
    )
    return {
        **facts,
        "dtype": data.dtype.name,
        "array_shape": list(image[name].shape),
        "directory": image.level_uri(name).rsplit("/", 1)[1],
        "sha256_c_order_le": sha256(data),
        "pixels": [
            {"index": place, "value": number(data[tuple(place)])} for place in places
        ],
    }


def describe_region(image, region):
    """The result of one region read, or the error."""
    options = {}
    if "channel_coords" in region:
        channels = region["channel_coords"]
        is_slice = isinstance(channels, list)
        options["channel_coords"] = slice(*channels) if is_slice else channels
    if "region_scale" in region:
        scale = region["region_scale"]
        options["region_transform"] = soma.ScaleTransform(("a", "b"), XY, scale)
    try:
        read = image.read_spatial_region(region["level"], region["region"], **options)
    except Exception as error:  # noqa: BLE001 - every error is an answer
        return {**region, "raises": type(error).__name__, "message": str(error)}
    data = read.data.to_numpy()
    return {
        **region,
        "shape": list(data.shape),
        "sha256_c_order_le": sha256(data),
        "first": number(data.flat[0]),
        "last": number(data.flat[-1]),
        "transform": describe_transform(read.coordinate_transform),
        "data_axes": list(read.data_coordinate_space.axis_names),
        "output_axes": list(read.output_coordinate_space.axis_names),
    }


def describe_scene(uri, path):
    """Everything that a scene with images and points answers."""
    scene = soma.Scene.open(uri)
    transforms = {
        "transforms_to": {},
        "transforms_from": {},
        "transforms_to_level1": {},
    }
    for key in scene.img:
        try:
            to = scene.get_transform_to_multiscale_image(key)
            back = scene.get_transform_from_multiscale_image(key)
            to_level1 = scene.get_transform_to_multiscale_image(key, level=1)
        except KeyError:
            transforms["transforms_to"][key] = None
            continue
        found = map(describe_transform, (to, back, to_level1))
        for name, transform in zip(transforms, found, strict=True):
            transforms[name][key] = transform
    loc, transcripts = scene.obsl["loc"], scene.varl["RNA"]["transcripts"]
    facts = {
        "path": path,
        "coordinate_space": describe_space(scene.coordinate_space),
        "members": list(scene.keys()),
        "img": list(scene.img.keys()),
        **transforms,
        "registry": {
            key: value
            for key, value in scene.img.metadata.items()
            if key.startswith("soma_scene_registry_")
        },
        "loc": {
            "transform": describe_transform(
                scene.get_transform_to_point_cloud_dataframe("loc")
            ),
            "schema": [str(field) for field in loc.schema],
            **describe_points(loc),
        },
        "transcripts": describe_points(transcripts),
    }
    scene.close()
    return facts


def describe_points(points):
    return {
        "index_column_names": list(points.index_column_names),
        "rows": points.read().concat().to_pylist(),
        "metadata": dict(points.metadata),
    }
