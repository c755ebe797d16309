"""Whole lives of an image: random changes, a plain model of it, and the oracle."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import pytest

import napari_msimage
from napari_msimage import MultiscaleImage

from .cases import random_pixels
from .describe import image_facts
from .store_suite import write

N_LIVES = 12
N_STEPS = 30
STEPS = ["add", "write", "write", "delete", "set", "drop", "units", "reopen", "close"]
KEYS = ["level0", "a b", "é/*", "b", "10", "9"]


@dataclasses.dataclass
class Model:
    """What the image should hold."""

    levels: dict[str, np.ndarray]
    metadata: dict[str, Any]
    units: tuple[str | None, str | None] = (None, None)


class Life:
    def __init__(self, uri: str, seed: int) -> None:
        self.uri = uri
        self.rng = np.random.default_rng(seed)
        pixels = self.pixels((9, 12))
        self.model = Model({"level0": pixels}, {})
        self.image = MultiscaleImage.create(
            uri, type="uint8", level_shape=pixels.shape, has_channel_axis=False
        )
        write(self.image["level0"], pixels)

    def pixels(self, shape):
        return random_pixels(shape, "uint8", int(self.rng.integers(2**31)))

    def step(self):
        name = self.rng.choice(
            [
                "add",
                "write",
                "write",
                "delete",
                "set",
                "drop",
                "units",
                "reopen",
                "close",
            ]
        )
        getattr(self, str(name))()
        self.check_memory()

    def add(self):
        self.want("w")
        key = str(self.rng.choice(KEYS))
        shape = tuple(int(n) for n in self.rng.integers(1, 12, 2))
        if key in self.model.levels:
            with pytest.raises(KeyError, match=r"already|taken|exists"):
                self.image.add_new_level(key, shape=shape)
            return
        array = self.image.add_new_level(key, shape=shape)
        self.model.levels[key] = np.full(shape, 255, np.uint8)
        if self.rng.random() < 0.8:
            self.model.levels[key] = self.pixels(shape)
            write(array, self.model.levels[key])

    def write(self):
        if not self.model.levels:
            return
        self.want("w")
        key = str(self.rng.choice(list(self.model.levels)))
        pixels = self.model.levels[key]
        start = [int(self.rng.integers(n)) for n in pixels.shape]
        last = [
            int(self.rng.integers(a, n))
            for a, n in zip(start, pixels.shape, strict=True)
        ]
        box = tuple(slice(a, b + 1) for a, b in zip(start, last, strict=True))
        values = self.pixels(pixels[box].shape)
        pixels[box] = values
        coords = tuple(slice(a, b) for a, b in zip(start, last, strict=True))
        self.image[key].write(coords, values)

    def delete(self):
        self.want("d" if self.rng.random() < 0.5 else "w")
        key = str(self.rng.choice(KEYS))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            if key not in self.model.levels:
                with pytest.raises(KeyError, match=r"level"):
                    del self.image[key]
                return
            del self.image[key]
        del self.model.levels[key]

    def set(self):
        self.want("w")
        key, value = f"k{self.rng.integers(4)}", int(self.rng.integers(100))
        self.image.metadata[key] = self.model.metadata[key] = value

    def drop(self):
        self.want("w")
        for key in list(self.model.metadata)[:1]:
            del self.image.metadata[key], self.model.metadata[key]

    def units(self):
        self.want("w")
        units = tuple(
            unit if unit != "none" else None
            for unit in map(str, self.rng.choice(["um", "mm", "none"], 2))
        )
        axes = zip("xy", units, strict=True)
        self.image.coordinate_space = napari_msimage.CoordinateSpace(
            [napari_msimage.Axis(*axis) for axis in axes]
        )
        self.model.units = units

    def reopen(self):
        self.image.reopen(str(self.rng.choice(["r", "w", "d"])))
        if self.image.mode == "r":
            self.check_pixels(self.image)

    def close(self):
        self.image.close()
        with MultiscaleImage.open(self.uri) as reader:
            self.check_pixels(reader)
        self.image = MultiscaleImage.open(self.uri, "w")

    def want(self, mode):
        if self.image.mode != mode:
            self.image.reopen(mode)

    def check_memory(self):
        image, model = self.image, self.model
        assert set(image) == set(image.levels()) == set(model.levels)
        assert image.level_count == len(image) == len(model.levels)
        for key, (_, shape) in image.levels().items():
            assert shape == image.level_shape(key) == model.levels[key].shape
        user = {k: v for k, v in image.metadata.items() if not k.startswith("soma_")}
        assert user == model.metadata
        assert tuple(axis.unit for axis in image.coordinate_space) == model.units

    def check_pixels(self, image):
        assert set(image) == set(self.model.levels)
        for key, pixels in self.model.levels.items():
            np.testing.assert_array_equal(image[key].read(), pixels)


@pytest.mark.parametrize("seed", range(N_LIVES))
def test_random_life_agrees_with_a_model_and_with_upstream(tmp_path, oracle, seed):
    life = Life(str(tmp_path / "pyramid.soma"), seed)
    with warnings.catch_warnings():
        warnings.simplefilter("error", napari_msimage.errors.StoreWarning)
        for _ in range(N_STEPS):
            life.step()
        life.close()
        life.image.close()
    facts = []
    for soma in (napari_msimage, oracle):
        with soma.MultiscaleImage.open(life.uri) as image:
            facts.append(image_facts(image))
    assert facts[0] == facts[1]
