"""Damaged, foreign and hostile stores, each made from one good image.

`BAD_STORES` maps a name to a `BadStore`. The good image is what `damage.make_good`
writes: uint8 CYX, three levels ``level0`` (3, 37, 53), ``level1`` and ``level2``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .damage import (
    GOOD_SCHEMA,
    LEVEL0,
    SCHEMA,
    SPACE,
    SPATIAL_VERSION,
    TYPE,
    VERSION,
    cut,
    fragment_of,
    level_is_a_group,
    make_array,
    make_group,
    many_members,
    noise,
    overwritten,
    removed,
    replaced,
    soma_group,
    stray,
    with_array,
    with_level_shape,
    with_metadata,
    with_schema,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class BadStore:
    """A store that cannot be used as an image, and what should be said of it."""

    build: Callable[[Path], Any]
    """Makes the store at a path, where a copy of the good image already is."""
    kinds: tuple[str, ...]
    """Names of the error classes that fit."""
    match: str
    """Pattern for the message: what is wrong."""


FORMAT = ("FormatError",)
STORAGE = ("StorageError", "FormatError")
MISSING = ("DoesNotExistError",)
BAD_JSON = {
    "empty": "",
    "open_brace": "{",
    "null": "null",
    "number": "3",
    "text": '"abc"',
    "object": '{"a": 1}',
    "empty_list": "[]",
    "nan": "[NaN]",
    "infinity": "[Infinity, 3, 4]",
    "overflow": "[3, 1e400, 53]",
    "nested": "[[3], 37, 53]",
    "deep": "[" * 20_000,
    "many_digits": f"[{'9' * 5000}]",
    "many_items": "[" + ",".join(["3"] * 200_001) + "]",
    "trailing": "[3, 37, 53] x",
    "nul": "[3,\0 37, 53]",
}
BAD_SHAPES = {
    "negative": "[3, -37, 53]",
    "zero": "[3, 0, 53]",
    "fraction": "[3, 37.5, 53]",
    "bool": "[true, 37, 53]",
    "text_size": '["3", 37, 53]',
    "null_size": "[null, 37, 53]",
    "huge": f"[3, {2**60}, {2**60}]",
    "too_few": "[37, 53]",
    "too_many": "[1, 3, 37, 53]",
    "other_channels": "[4, 37, 53]",
}
BAD_SPACES = {
    "one_axis": '[{"name": "x"}]',
    "three_axes": '[{"name": "x"}, {"name": "y"}, {"name": "z"}]',
    "same_names": '[{"name": "x"}, {"name": "x"}]',
    "no_name": '[{"unit": "um"}, {"name": "y"}]',
    "number_as_name": '[{"name": 1}, {"name": "y"}]',
    "reserved_name": '[{"name": "soma_x"}, {"name": "y"}]',
    "number_as_unit": '[{"name": "x", "unit": 1}, {"name": "y"}]',
    "names_only": '["x", "y"]',
    "hundred_axes": json.dumps([{"name": f"a{i}"} for i in range(100)]),
}
BAD_SCHEMAS: dict[str, dict[str, Any]] = {
    **{f"no_{key}": {key: ...} for key in GOOD_SCHEMA},
    "repeated_axis": {"data_axis_permutation": [2, 1, 1]},
    "axis_out_of_range": {"data_axis_permutation": [3, 1, 0]},
    "negative_axis": {"data_axis_permutation": [-1, 1, 0]},
    "too_few_axes": {"data_axis_permutation": [1, 0]},
    "fractions_as_axes": {"data_axis_permutation": [2.5, 1, 0]},
    "text_as_axes": {"data_axis_permutation": "210"},
    "null_as_axes": {"data_axis_permutation": None},
    "text_as_flag": {"has_channel_axis": "yes"},
    "channel_denied": {"has_channel_axis": False},
    "bool_pixels": {"datatype": "b"},
    "text_pixels": {"datatype": "u"},
    "unknown_pixels": {"datatype": "zzz"},
    "number_as_type": {"datatype": 5},
    "null_as_type": {"datatype": None},
    "list_as_type": {"datatype": ["C"]},
}
WRONG_VALUES = {
    "int": 7,
    "float": 1.5,
    "tuple": (1, 2, 3),
    "not_utf8": b"\xff\xfe\xfd",
}
ENTRIES = {
    "type": TYPE,
    "version": VERSION,
    "spatial_version": SPATIAL_VERSION,
    "space": SPACE,
    "schema": SCHEMA,
    "level": LEVEL0,
}

BAD_STORES: dict[str, BadStore] = {
    "missing": BadStore(shutil.rmtree, MISSING, "nothing"),
    "missing_parent": BadStore(
        lambda path: shutil.rmtree(path.parent), MISSING, "nothing"
    ),
    "plain_file": BadStore(
        replaced(lambda path: path.write_text("hello")), MISSING, "file"
    ),
    "empty_folder": BadStore(replaced(Path.mkdir), MISSING, "folder"),
    "folder_of_files": BadStore(
        replaced(lambda path: (path / "a").mkdir(parents=True)), MISSING, "folder"
    ),
    "symlink_to_nothing": BadStore(
        replaced(lambda path: path.symlink_to(path.parent / "nowhere")),
        (*MISSING, "StorageError"),
        "link|nothing|file",
    ),
    "symlink_to_itself": BadStore(
        replaced(lambda path: path.symlink_to(path)),
        (*MISSING, "StorageError"),
        "link|file|nothing",
    ),
    "plain_array": BadStore(
        replaced(lambda path: make_array(path, soma=False)), MISSING, "array"
    ),
    "soma_array": BadStore(replaced(make_array), MISSING, "array"),
    "sparse_array": BadStore(
        replaced(lambda path: make_array(path, sparse=True)), MISSING, "array"
    ),
    "bare_group": BadStore(replaced(make_group), FORMAT, "soma_object_type"),
    **{
        f"other_{kind}": BadStore(soma_group(kind), FORMAT, kind)
        for kind in (
            "SOMACollection",
            "SOMAExperiment",
            "SOMAMeasurement",
            "SOMAScene",
            "SOMAUnheardOf",
        )
    },
    # Metadata entries
    "version_unknown": BadStore(with_metadata(**{VERSION: "9.0.0"}), FORMAT, "9.0.0"),
    "version_newer": BadStore(with_metadata(**{VERSION: "1.2.0"}), FORMAT, "1.2.0"),
    "spatial_version_unknown": BadStore(
        with_metadata(**{SPATIAL_VERSION: "0.3.0"}), FORMAT, "0.3.0"
    ),
    **{
        f"no_{name}": BadStore(with_metadata(**{key: None}), FORMAT, key)
        for name, key in ENTRIES.items()
        if key != LEVEL0  # then the level is a leftover: skipped with a warning
    },
    **{
        f"{name}_is_{kind}": BadStore(with_metadata(**{key: value}), FORMAT, key)
        for name, key in ENTRIES.items()
        for kind, value in WRONG_VALUES.items()
    },
    **{
        f"space_{name}": BadStore(
            # a wrong number of axes may also be called a wrong schema
            with_metadata(**{SPACE: text}),
            FORMAT,
            f"{SPACE}|{SCHEMA}" if name.endswith(("_axis", "_axes")) else SPACE,
        )
        for name, text in (BAD_JSON | BAD_SPACES).items()
    },
    **{
        f"level_{name}": BadStore(with_metadata(**{LEVEL0: text}), FORMAT, "level0")
        for name, text in (BAD_JSON | BAD_SHAPES).items()
    },
    **{
        f"schema_json_{name}": BadStore(with_metadata(**{SCHEMA: text}), FORMAT, SCHEMA)
        for name, text in BAD_JSON.items()
    },
    **{
        f"schema_{name}": BadStore(with_schema(**entries), FORMAT, SCHEMA)
        for name, entries in BAD_SCHEMAS.items()
        if name != "no_shape"
    },
    # Levels that are not what the metadata says
    "level_folder_missing": BadStore(
        removed("level0"), (*MISSING, "FormatError", "StorageError"), "level0"
    ),
    "level_folder_empty": BadStore(
        lambda path: (shutil.rmtree(path / "level0"), (path / "level0").mkdir()),
        (*MISSING, "FormatError", "StorageError"),
        "level0",
    ),
    "level_is_a_group": BadStore(
        level_is_a_group, (*MISSING, "FormatError", "StorageError"), "level0"
    ),
    "level_smaller_than_said": BadStore(
        with_array(shape=(3, 37, 52)), FORMAT, "level0"
    ),
    "level_of_more_axes": BadStore(with_array(shape=(1, 3, 37, 53)), FORMAT, "level0"),
    "level_of_fewer_axes": BadStore(with_array(shape=(37, 53)), FORMAT, "level0"),
    "level_of_fewer_channels": BadStore(
        with_array(shape=(2, 37, 53)), FORMAT, "level0"
    ),
    "level_of_another_type": BadStore(with_array(dtype="uint16"), FORMAT, "level0"),
    "level_of_bools": BadStore(with_array(dtype="bool"), FORMAT, "level0"),
    "level_of_text": BadStore(
        with_array(dtype="ascii", variable=True), FORMAT, "level0"
    ),
    "level_of_lists": BadStore(
        with_array(dtype="uint8", variable=True), FORMAT, "level0"
    ),
    "level_with_nulls": BadStore(with_array(nullable=True), FORMAT, "level0"),
    "level_is_sparse": BadStore(with_array(sparse=True), FORMAT, "level0"),
    "level_attribute_unknown": BadStore(with_array(names=("a",)), FORMAT, "level0"),
    "level_attribute_extra": BadStore(
        with_array(names=("soma_data", "more")), FORMAT, "level0"
    ),
    "level_dims_named_otherwise": BadStore(
        with_array(dim_name="d{}"), FORMAT, "level0"
    ),
    "level_dims_of_int32": BadStore(with_array(dim_type="int32"), FORMAT, "level0"),
    "level_without_soma_metadata": BadStore(with_array(soma=False), FORMAT, "level0"),
    "level_of_2**60": BadStore(
        with_level_shape((3, 2**60, 2**60)), FORMAT, "level0|shape"
    ),
    "level_tile_of_64_gib": BadStore(
        with_level_shape((1, 2**18, 2**18), tile=2**18), FORMAT, "level0|tile"
    ),
    # TileDB's own files
    **{
        f"{folder.strip('_').replace('/__', '_')}_{name}": BadStore(
            damage(folder), (*STORAGE, *MISSING), match
        )
        for folder, match in (
            ("__meta", "__meta"),
            ("__group", "__group"),
            ("level0/__meta", "__meta"),
            ("level0/__schema", "__schema"),
        )
        for name, damage in {
            "empty": lambda folder: cut(folder, lambda size: 0),
            "short_by_a_byte": lambda folder: cut(folder, lambda size: size - 1),
            "halved": lambda folder: cut(folder, lambda size: size // 2),
            "ten_bytes": lambda folder: cut(folder, lambda size: 10),
            "noise": noise,
            "claims_4_gib": lambda folder: overwritten(
                folder, 12, struct.pack("<Q", 2**32)
            ),
            "claims_2**60": lambda folder: overwritten(
                folder, 4, struct.pack("<QQ", 2**60, 2**60)
            ),
            "stray_file": lambda folder: stray(folder, ".DS_Store"),
            "stray_copy": lambda folder: stray(folder, "notes (copy).txt"),
        }.items()
    },
    "metadata_of_100_mb": BadStore(
        with_metadata(big="x" * 100_000_000), STORAGE, "__meta"
    ),
    "too_many_members": BadStore(many_members, FORMAT, "members"),
    "fragment_data_cut": BadStore(
        lambda path: [
            entry.write_bytes(entry.read_bytes()[:10])
            for entry in fragment_of(path).iterdir()
            if entry.name != "__fragment_metadata.tdb"
        ],
        STORAGE,
        "level0",
    ),
    "fragment_data_gone": BadStore(
        lambda path: [
            entry.unlink()
            for entry in fragment_of(path).iterdir()
            if entry.name != "__fragment_metadata.tdb"
        ],
        (*STORAGE, *MISSING),
        "level0",
    ),
    "fragment_data_noise": BadStore(
        lambda path: [
            entry.write_bytes(np.random.default_rng(0).bytes(entry.stat().st_size))
            for entry in fragment_of(path).iterdir()
            if entry.name != "__fragment_metadata.tdb"
        ],
        STORAGE,
        "level0",
    ),
    "fragment_metadata_empty": BadStore(
        lambda path: (fragment_of(path) / "__fragment_metadata.tdb").write_bytes(b""),
        STORAGE,
        "level0",
    ),
    "fragment_metadata_cut": BadStore(
        lambda path: os.truncate(fragment_of(path) / "__fragment_metadata.tdb", 100),
        STORAGE,
        "level0",
    ),
    "schema_folder_gone": BadStore(
        removed("level0/__schema"), (*MISSING, *STORAGE), "level0"
    ),
    "group_marker_gone": BadStore(
        lambda path: (path / "__tiledb_group.tdb").unlink(), MISSING, "folder"
    ),
}

#: Odd, but no reason to refuse: opens, perhaps with a warning, and reads.
HARMLESS_STORES: dict[str, Callable[[Path], Any]] = {
    "untouched": lambda path: None,
    "level_of_metadata_only": with_metadata(soma_level_ghost="[3, 5, 5]"),
    "stray_file_beside_levels": stray(".", "notes.txt"),
    "stray_folder_beside_levels": lambda path: (path / "notes").mkdir(),
    "leftover_scratch_folder": lambda path: (path / "__msimage_tmp_1" / "__meta").mkdir(
        parents=True
    ),
    "schema_shape_wrong": with_schema(shape=[1, 2, 3]),
    "level_without_entry": with_metadata(soma_level_level2=None),
    "user_metadata": with_metadata(
        text="x", number=3, real=2.5, bytes=b"\xff\x00", pair=(1, 2)
    ),
    "sizes_as_floats": with_metadata(**{LEVEL0: "[3.0, 37.0, 53.0]"}),
    "json_in_bytes": with_metadata(**{LEVEL0: b"[3,37,53]"}),
}
