"""What the suites of collections and scenes stand on."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

from .describe import class_name, metadata_facts, space_facts, transform_facts
from .store_suite import StoreSuite, write

XY = ("x", "y")
PIXELS = np.arange(3 * 7 * 9, dtype=np.uint8).reshape(3, 7, 9)
IMAGE = {"type": pa.uint8(), "level_shape": PIXELS.shape}
T0 = 1_700_000_000_000


class SceneStore(StoreSuite):
    """Helpers for collections and scenes; `uri` is the place of the outermost one."""

    def collection(self, **options: Any) -> Any:
        """A new collection, open in w."""
        return self.keep(self.soma.Collection.create(self.uri, **options))

    def open_collection(self, mode: str = "r", **options: Any) -> Any:
        return self.keep(self.soma.Collection.open(self.uri, mode, **options))

    def scene(self, **options: Any) -> Any:
        """A new scene on x and y with an empty ``img``, open in w."""
        options = {"coordinate_space": self.space(("x", "um"), ("y", "um")), **options}
        scene = self.keep(self.soma.Scene.create(self.uri, **options))
        scene.add_new_collection("img")
        return scene

    def open_scene(self, mode: str = "r", **options: Any) -> Any:
        return self.keep(self.soma.Scene.open(self.uri, mode, **options))

    def scaling(self, factors: Any = (0.5, 0.25), to: Any = XY) -> Any:
        return self.soma.ScaleTransform(XY, to, list(factors))

    def transforms(self) -> dict[str, Any]:
        return transforms_of(self.soma)

    def add_image(self, scene: Any, key: str = "hires", **options: Any) -> Any:
        """A new image in ``img``, its pixels written."""
        options = {"transform": self.scaling(), **IMAGE, **options}
        image = scene.add_new_multiscale_image(key, "img", **options)
        write(image["level0"], PIXELS)
        return image


def transforms_of(soma: Any) -> dict[str, Any]:
    """A transform of each type, from x, y to x, y."""
    matrix = [[0.0, -2.0, 30.0], [1.5, 0.1, -4.0]]
    return {
        "identity": soma.IdentityTransform(XY, XY),
        "uniform": soma.UniformScaleTransform(XY, XY, 0.3),
        "scale": soma.ScaleTransform(XY, XY, [0.5, 1 / 3]),
        "affine": soma.AffineTransform(XY, XY, matrix),
    }


def collection_facts(collection: Any) -> dict[str, Any]:
    """Everything that a collection answers without opening its members."""
    entries = metadata_facts(collection.metadata)
    for key, value in entries.items():
        if key.startswith("soma_scene_registry_"):
            entries[key] = json.loads(value)
    return {
        "soma_type": collection.soma_type,
        "keys": list(collection.keys()),
        "members": {
            key: (uri.removeprefix("file://"), kind)
            for key, (uri, kind) in collection.members().items()
        },
        "metadata": entries,
    }


def scene_facts(scene: Any) -> dict[str, Any]:
    """Everything that a scene open for reading answers of its images."""
    space = scene.coordinate_space
    facts = {
        **collection_facts(scene),
        "space": None if space is None else space_facts(space),
        "img": collection_facts(scene.img),
    }
    for key in scene.img.keys():  # noqa: SIM118 - of the oracle as well
        image = scene.img[key]
        facts[f"class of {key}"] = class_name(image)
        for name in ("to", "from"):
            get = getattr(scene, f"get_transform_{name}_multiscale_image")
            try:
                facts[f"{name} {key}"] = [
                    transform_facts(get(key, level=level))
                    for level in (None, *range(image.level_count))
                ]
            except KeyError:
                facts[f"{name} {key}"] = None
    return facts
