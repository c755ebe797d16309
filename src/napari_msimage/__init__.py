"""Open, make and cut up SOMA multiscale images in napari.

The names below are loaded when they are first used, so that importing the package
stays cheap: no napari, Qt, dask or tiledb.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .coordinates import (
        AffineTransform,
        Axis,
        CoordinateSpace,
        CoordinateTransform,
        IdentityTransform,
        ScaleTransform,
        UniformScaleTransform,
    )
    from .engines import (
        ExportPlan,
        ExportSource,
        ImageRegion,
        LevelPlan,
        create_levels,
        export_region,
        plan_export,
        plan_levels,
    )
    from .errors import AlreadyExistsError, DoesNotExistError, SOMAError
    from .plugin import write_layers
    from .storage import (
        Collection,
        DenseNDArray,
        MultiscaleImage,
        Scene,
        SOMATileDBContext,
        SpatialRead,
    )

__version__ = _version("napari-msimage")

_HOME = {
    "AffineTransform": "coordinates",
    "AlreadyExistsError": "errors",
    "Axis": "coordinates",
    "Collection": "storage",
    "CoordinateSpace": "coordinates",
    "CoordinateTransform": "coordinates",
    "DenseNDArray": "storage",
    "DoesNotExistError": "errors",
    "ExportPlan": "engines",
    "ExportSource": "engines",
    "IdentityTransform": "coordinates",
    "ImageRegion": "engines",
    "LevelPlan": "engines",
    "MultiscaleImage": "storage",
    "SOMAError": "errors",
    "SOMATileDBContext": "storage",
    "ScaleTransform": "coordinates",
    "Scene": "storage",
    "SpatialRead": "storage",
    "UniformScaleTransform": "coordinates",
    "create_levels": "engines",
    "export_region": "engines",
    "plan_export": "engines",
    "plan_levels": "engines",
    "write_layers": "plugin",
}

__all__ = [
    "AffineTransform",
    "AlreadyExistsError",
    "Axis",
    "Collection",
    "CoordinateSpace",
    "CoordinateTransform",
    "DenseNDArray",
    "DoesNotExistError",
    "ExportPlan",
    "ExportSource",
    "IdentityTransform",
    "ImageRegion",
    "LevelPlan",
    "MultiscaleImage",
    "SOMAError",
    "SOMATileDBContext",
    "ScaleTransform",
    "Scene",
    "SpatialRead",
    "UniformScaleTransform",
    "create_levels",
    "export_region",
    "plan_export",
    "plan_levels",
    "write_layers",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
