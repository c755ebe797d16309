"""Where things are: axes, spaces, transforms, regions. Pure numpy, no I/O."""

from __future__ import annotations

from ._axes import Axis, CoordinateSpace, coordinate_space_from
from ._boxes import Box, block_transform
from ._json import (
    coordinate_space_from_json,
    coordinate_space_to_json,
    parse_json,
    transform_from_json,
    transform_to_json,
)
from ._pixel_boxes import pixel_box, pixel_boxes
from ._regions import (
    Region,
    region_to_box,
    region_to_soma_box,
    transform_region,
)
from ._transforms import (
    AffineTransform,
    CoordinateTransform,
    IdentityTransform,
    ScaleTransform,
    UniformScaleTransform,
)

__all__ = [
    "AffineTransform",
    "Axis",
    "Box",
    "CoordinateSpace",
    "CoordinateTransform",
    "IdentityTransform",
    "Region",
    "ScaleTransform",
    "UniformScaleTransform",
    "block_transform",
    "coordinate_space_from",
    "coordinate_space_from_json",
    "coordinate_space_to_json",
    "parse_json",
    "pixel_box",
    "pixel_boxes",
    "region_to_box",
    "region_to_soma_box",
    "transform_from_json",
    "transform_region",
    "transform_to_json",
]
