"""The images that the conformance tests write: dtypes, axis orders, shapes, names."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

CHANNEL = "soma_channel"

NUMERIC_DTYPES = (
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float32",
    "float64",
)
#: Arrow C format string of each dtype, as stored in the image's metadata.
FORMATS = {
    "int8": "c",
    "uint8": "C",
    "int16": "s",
    "uint16": "S",
    "int32": "i",
    "uint32": "I",
    "int64": "l",
    "uint64": "L",
    "float32": "f",
    "float64": "g",
    "datetime64[s]": "tss:",
    "datetime64[ms]": "tsm:",
    "datetime64[us]": "tsu:",
    "datetime64[ns]": "tsn:",
}
TIMESTAMP_DTYPES = tuple(name for name in FORMATS if name.startswith("datetime"))


@dataclasses.dataclass(frozen=True)
class ImageCase:
    """An image to write: levels in the order of writing, shapes in data axis order."""

    name: str
    levels: dict[str, tuple[int, ...]]
    dtype: str = "uint8"
    axes: tuple[tuple[str, str | None], ...] = (("x", None), ("y", None))
    order: tuple[str, ...] | None = None
    has_channel: bool = True

    @property
    def first(self) -> tuple[str, tuple[int, ...]]:
        return next(iter(self.levels.items()))

    @property
    def axis_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.axes)

    @property
    def data_axes(self) -> tuple[str, ...]:
        """The stored axis order, also when `order` leaves it to the default."""
        if self.order is not None:
            return self.order
        return (CHANNEL,) * self.has_channel + self.axis_names[::-1]

    def pixels(self, key: str) -> np.ndarray:
        """The pixels of a level, always the same ones."""
        seed = sum(map(ord, self.name + key))
        return random_pixels(self.levels[key], self.dtype, seed)


def random_pixels(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> np.ndarray:
    """Seeded pixels over the whole range of the dtype."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.normal(scale=1000, size=shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, size=shape, dtype=dtype, endpoint=True)


CASES = (
    ImageCase(
        "cyx",
        {"level0": (3, 37, 53), "level1": (3, 18, 26), "level2": (3, 9, 13)},
    ),
    ImageCase(
        "yxc",
        {"level0": (37, 53, 4), "level1": (18, 26, 4), "tiny": (1, 2, 4)},
        order=("y", "x", CHANNEL),
    ),
    ImageCase(
        "ycx",
        {"a": (19, 2, 31), "b": (7, 2, 11)},
        dtype="uint16",
        order=("y", CHANNEL, "x"),
    ),
    ImageCase(
        "yx_units",
        {"full": (50, 70), "half": (25, 35)},
        dtype="uint16",
        axes=(("x", "micrometer"), ("y", "µm")),
        has_channel=False,
    ),
    ImageCase(
        "xy",
        {"a": (41, 29), "b": (20, 14)},
        dtype="int16",
        order=("x", "y"),
        has_channel=False,
    ),
    ImageCase(
        "czyx",
        {"level0": (2, 6, 16, 20), "level1": (2, 3, 8, 10)},
        dtype="float32",
        axes=(("x", "um"), ("y", "um"), ("z", "mm")),
    ),
    ImageCase(
        "xyzc",
        {"level0": (11, 13, 5, 2), "level1": (5, 6, 2, 2)},
        dtype="float64",
        axes=(("x", None), ("y", "nm"), ("z", None)),
        order=("x", "y", "z", CHANNEL),
    ),
    ImageCase(
        "zyx",
        {"level0": (5, 17, 23), "level1": (5, 8, 11)},
        dtype="int32",
        axes=(("x", None), ("y", None), ("z", None)),
        has_channel=False,
    ),
    ImageCase("x", {"a": (101,), "b": (33,)}, axes=(("x", "s"),), has_channel=False),
    ImageCase("cx", {"a": (2, 101), "b": (2, 50)}, axes=(("x", None),)),
    ImageCase(
        "ctzyx",
        {"level0": (2, 3, 4, 7, 9), "level1": (2, 3, 2, 3, 4)},
        axes=(("x", None), ("y", None), ("z", None), ("t", "s")),
    ),
    ImageCase("one_pixel", {"level0": (1, 1, 1)}),
    ImageCase(
        "ties",
        {
            "b": (10, 10),
            "a": (10, 10),
            "c": (10, 12),
            "d": (12, 2),
            "e": (5, 5),
            "B": (10, 10),
            "10": (5, 5),
            "9": (5, 5),
        },
        has_channel=False,
    ),
    ImageCase(
        "special_names",
        {
            "a b/c": (12, 16),
            "é*": (6, 8),
            "%20": (6, 8),
            "soma_x": (5, 4),
            "-_.()^!@+={}~'": (4, 5),
            "level#1?": (3, 5),
            "日本": (3, 4),
            " ": (2, 5),
            "...": (2, 4),
        },
        has_channel=False,
    ),
    ImageCase(
        "named_axes",
        {"level0": (3, 9, 14)},
        axes=(("long axis", "µm"), ("ÿ", None)),
    ),
    ImageCase("bigger_level_later", {"small": (2, 5, 7), "large": (2, 11, 15)}),
)
CASES_BY_NAME = {case.name: case for case in CASES}
