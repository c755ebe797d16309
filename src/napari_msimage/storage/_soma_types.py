"""The types of SOMA objects, as their metadata names them, and what opens each."""

from __future__ import annotations

from typing import Final

IMAGE_TYPE: Final = "SOMAMultiscaleImage"
ARRAY_TYPE: Final = "SOMADenseNDArray"
COLLECTION_TYPE: Final = "SOMACollection"
EXPERIMENT_TYPE: Final = "SOMAExperiment"
MEASUREMENT_TYPE: Final = "SOMAMeasurement"
SCENE_TYPE: Final = "SOMAScene"
POINT_CLOUD_TYPE: Final = "SOMAPointCloudDataFrame"
GEOMETRY_TYPE: Final = "SOMAGeometryDataFrame"

#: Collections with rules about their members, which `Collection` walks as they are.
PLAIN_COLLECTIONS: Final = (COLLECTION_TYPE, EXPERIMENT_TYPE, MEASUREMENT_TYPE)

_OPENERS: Final = {
    IMAGE_TYPE: "MultiscaleImage",
    ARRAY_TYPE: "DenseNDArray",
    SCENE_TYPE: "Scene",
    **dict.fromkeys(PLAIN_COLLECTIONS, "Collection"),
}
_PREFIX: Final = "SOMA"


def canonical_type(found: str) -> str:
    """Return a type with the usual capitals; upstream does not heed them."""
    names = (*_OPENERS, POINT_CLOUD_TYPE, GEOMETRY_TYPE)
    return {name.lower(): name for name in names}.get(found.lower(), found)


def opening_advice(found: str) -> str:
    """Return a sentence that says how to open an object of a type, or ``""``."""
    name = canonical_type(found)
    if name in _OPENERS:
        advice = f"Open it with {_OPENERS[name]}.open."
        if name in (*PLAIN_COLLECTIONS, SCENE_TYPE):
            advice += (
                " Images lie inside it; for an image, open the folder of one, such as "
                "'img/hires'."
            )
        return advice
    if name.startswith(_PREFIX):
        return (
            f"This package does not read it; tiledbsoma does, as "
            f"tiledbsoma.{name.removeprefix(_PREFIX)}."
        )
    return ""
