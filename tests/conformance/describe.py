"""Everything that an image answers, as plain values that compare with ``==``.

Works on images of this package and on the oracle's.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np


def class_name(value: Any) -> str:
    """The class name, also of an object in the oracle's process."""
    return getattr(value, "_class_name", None) or type(value).__name__


def space_facts(space: Any) -> list[tuple[str, str | None]]:
    return [(axis.name, axis.unit) for axis in space.axes]


def transform_facts(transform: Any) -> dict[str, Any]:
    """Class, axes, numbers and repr of a transform."""
    name = class_name(transform)
    facts = {
        "class": name,
        "input_axes": tuple(transform.input_axes),
        "output_axes": tuple(transform.output_axes),
        "matrix": np.asarray(transform.augmented_matrix).tolist(),
        "repr": repr(transform),
    }
    if name != "AffineTransform":
        facts["scale_factors"] = np.asarray(transform.scale_factors).tolist()
    if name in ("UniformScaleTransform", "IdentityTransform"):
        facts["scale"] = float(transform.scale)
    return facts


def array_facts(array: Any) -> dict[str, Any]:
    """What the pixels of a level are: dtype, shape and a hash of them."""
    pixels = np.asarray(array)
    return {"dtype": pixels.dtype.name, "shape": pixels.shape, "sha256": sha256(pixels)}


def sha256(pixels: np.ndarray) -> str:
    """Hash of the pixels, C order, little endian."""
    little = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
    return hashlib.sha256(little.tobytes()).hexdigest()


def read_facts(read: Any) -> dict[str, Any]:
    """Everything in a SpatialRead."""
    return {
        "data": array_facts(read.data),
        "data_space": space_facts(read.data_coordinate_space),
        "output_space": space_facts(read.output_coordinate_space),
        "transform": transform_facts(read.coordinate_transform),
    }


def metadata_facts(metadata: Any) -> dict[str, Any]:
    """All entries; the coordinate space parsed, since its spelling may differ."""
    facts = {key: metadata[key] for key in sorted(metadata)}
    space = facts.get("soma_coordinate_space")
    return (
        facts
        if space is None
        else {**facts, "soma_coordinate_space": json.loads(space)}
    )


def image_facts(image: Any, *, pixels: bool = True) -> dict[str, Any]:
    """Every getter, every transform and every pixel of an image open for reading."""
    facts: dict[str, Any] = {
        "soma_type": image.soma_type,
        "mode": image.mode,
        "closed": image.closed,
        "coordinate_space": space_facts(image.coordinate_space),
        "data_axis_order": image.data_axis_order,
        "has_channel_axis": image.has_channel_axis,
        "nchannels": image.nchannels,
        "level_count": image.level_count,
        "keys": list(image.keys()),
        "levels": [
            (key, uri.removeprefix("file://"), shape)
            for key, (uri, shape) in image.levels().items()
        ],
        "metadata": metadata_facts(image.metadata),
    }
    for index, key in enumerate(image.levels()):
        facts[f"level {key}"] = {
            "shape": [image.level_shape(level) for level in (index, key)],
            "uri": [
                image.level_uri(level).removeprefix("file://") for level in (index, key)
            ],
            "to": [
                transform_facts(image.get_transform_to_level(level))
                for level in (index, key, index - image.level_count)
            ],
            "from": [
                transform_facts(image.get_transform_from_level(level))
                for level in (index, key, index - image.level_count)
            ],
        }
        if pixels:
            array = image[key]
            facts[f"array {key}"] = {
                "uri": array.uri.removeprefix("file://"),
                "shape": array.shape,
                "ndim": array.ndim,
                "mode": array.mode,
                "is_sparse": array.is_sparse,
                "soma_type": array.soma_type,
                "non_empty_domain": array.non_empty_domain(),
                "metadata": metadata_facts(array.metadata),
                "pixels": array_facts(array.read()),
            }
    return facts
