"""Which key each wanted level gets, and which keys and shapes are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ArgumentError, LevelKeyError
from ._level_names import check_new_key, new_keys
from ._level_wishes import MAX_LEVELS, fineness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._level_facts import ImageFacts
    from ._level_shapes import Shape


def name_explicit(
    facts: ImageFacts, shapes: list[Shape], keys: Sequence[str] | None, *, replace: bool
) -> list[tuple[str, Shape]]:
    by_shape = {shape: key for key, shape in facts.levels[:0:-1]}
    if keys is None:
        shapes = sorted(shapes, key=fineness)
        if not replace and (taken := [s for s in shapes if s in by_shape]):
            msg = (
                f"The image at {facts.uri!r} has a level of shape {taken[0]} already: "
                f"{by_shape[taken[0]]!r}. Leave it out, or replace it (replace=True)."
            )
            raise LevelKeyError(msg)
        fresh = iter(new_keys([key for key, _ in facts.levels], len(shapes)))
        keys = [by_shape.get(shape) or next(fresh) for shape in shapes]
    named = _pair(facts, shapes, keys, replace=replace)
    kept = {shape: key for key, shape in facts.levels if key not in dict(named)}
    for key, shape in named:
        if shape in kept:
            msg = (
                f"Level {key!r} would have the shape of level {kept[shape]!r}, {shape};"
                f" a viewer could not tell them apart. Leave it out, or replace "
                f"{kept[shape]!r} (replace=True)."
            )
            raise LevelKeyError(msg)
    return sorted(named, key=lambda level: fineness(level[1]))


def name_missing(
    facts: ImageFacts, shapes: list[Shape], keys: Sequence[str] | None, *, replace: bool
) -> list[tuple[str, Shape]]:
    existing = dict(reversed([(s, k) for k, s in facts.levels]))
    n_new = sum(shape not in existing for shape in shapes)
    fresh = iter(
        new_keys([k for k, _ in facts.levels], n_new) if keys is None else keys
    )
    if keys is not None and len(keys) != n_new:
        msg = f"{n_new} keys are needed, one for each new level {shapes}, got {keys!r}"
        raise ArgumentError(msg)
    found = [existing.get(shape) or next(fresh) for shape in shapes]
    return _pair(facts, shapes, found, replace=replace)


def _pair(
    facts: ImageFacts, shapes: list[Shape], keys: Sequence[str], *, replace: bool
) -> list[tuple[str, Shape]]:
    """Pair keys with shapes, if the image can take them."""
    if len(keys) != len(shapes):
        msg = f"{len(shapes)} keys are needed, one for each level, got {keys!r}"
        raise ArgumentError(msg)
    existing = [key for key, _ in facts.levels]
    for key in keys:
        if key not in existing:
            check_new_key(key)
        elif key == existing[0]:
            msg = (
                f"Level {key!r} of {facts.uri!r} is the finest one, which all others "
                "are made from; it cannot be replaced"
            )
            raise LevelKeyError(msg)
        elif not replace:
            msg = (
                f"The image at {facts.uri!r} has a level {key!r} already; choose "
                "another key, or replace it (replace=True)"
            )
            raise LevelKeyError(msg)
    if len(set(keys)) < len(keys):
        msg = f"Each level needs a key of its own, got {list(keys)}"
        raise ArgumentError(msg)
    if (total := len({*existing, *keys})) > MAX_LEVELS:
        msg = (
            f"The image at {facts.uri!r} would have {total} levels; at most "
            f"{MAX_LEVELS} can be read. Choose a larger factor, or fewer levels."
        )
        raise ArgumentError(msg)
    return list(zip(keys, shapes, strict=True))
