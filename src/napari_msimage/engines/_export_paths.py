"""Paths of an export: from what was typed to one file per region."""

from __future__ import annotations

import functools
import numbers
import os
import re
from typing import TYPE_CHECKING, Any, Final

from ..errors import ArgumentError, ArgumentTypeError, UnsupportedError
from ..storage import is_local, normalize_uri
from ._export_files import check_name
from ._export_formats import FOLDERS, format_of, split_ending
from ._pixel_source_folder import source_places

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._export_plan import ExportPlan
    from ._export_source import ExportSource, ImageRegion

#: A field of a name template: the name of a fact or property, and a width of digits.
_FIELD: Final = re.compile(r"\{([^\W\d][\w .-]*)(:0?\d{1,2}d?)?\}")
#: Bytes that one field may add to a name; names of shapes can be long.
_MAX_FIELD: Final = 100


def local_place(destination: Any, wanted: str | None) -> str:
    """Return a destination as an absolute path; as it is for SOMA on object stores."""
    if not isinstance(destination, str | os.PathLike):
        msg = (
            "destination must be a path or an address, got "
            f"{type(destination).__name__}"
        )
        raise ArgumentTypeError(msg)
    place = os.fspath(destination)
    if not isinstance(place, str):
        msg = "destination must be text, got bytes"
        raise ArgumentTypeError(msg)
    if not place.strip():
        msg = "The destination is empty; give the name of the file to be written."
        raise ArgumentError(msg)
    if place.startswith("file://"):
        place = normalize_uri(place) + ("/" if place.endswith("/") else "")
    elif not is_local(place):
        if format_of(place, wanted) == "soma":
            return place
        msg = (
            f"Cannot export to {place!r}: files are written to local folders. Choose "
            "one, or export as soma."
        )
        raise UnsupportedError(msg)
    if place.endswith(os.sep) and format_of(place, wanted) not in FOLDERS:
        msg = f"{place!r} is the name of a folder; give the name of a file in it."
        raise ArgumentError(msg)
    if "\0" in place:
        check_name(place)
    return os.path.abspath(os.path.expanduser(place))


def file_paths(
    place: str,
    source: ExportSource,
    level: int,
    regions: Sequence[ImageRegion | None],
) -> list[str]:
    """Return the path of each region's file, no two the same.

    Raises
    ------
    ArgumentError
        If a name for several files has a field that nothing is known of, or there is
        a field in the name of a folder.
    """
    folder, file_name = os.path.split(place)
    stem, ending = split_ending(file_name)
    facts = [
        _facts(source, level, region, number)
        for number, region in enumerate(regions, start=1)
    ]
    if len(regions) > 1:
        _check_fields(place, folder, stem, facts)
    if len(regions) > 1 and not _FIELD.search(stem):
        stem += "_{index}"
    taken: set[str] = set()
    paths = []
    for values in facts:
        name = _FIELD.sub(functools.partial(_filled, values), stem)
        unique, again = name, 2
        while unique.lower() in taken:
            unique, again = f"{name}-{again}", again + 1
        taken.add(unique.lower())
        paths.append(os.path.join(folder, unique + ending))
    return paths


def _facts(
    source: ExportSource, level: int, region: ImageRegion | None, number: int
) -> dict[str, Any]:
    """Return the values of the fields of a region's file name."""
    name = (region.name if region else "") or f"region{number}"
    own = {"name": source.name, "index": number, "region": name, "level": level}
    return {"label": name, **(region.properties if region else {}), **own}


def _check_fields(
    place: str, folder: str, stem: str, facts: Sequence[Mapping[str, Any]]
) -> None:
    """Refuse fields that cannot be filled in for all regions."""
    known = [name for name in facts[0] if all(name in values for values in facts)]
    listed = ", ".join(f"{{{name}}}" for name in known)
    for match in _FIELD.finditer(stem):
        if match[1] not in known:
            msg = (
                f"Cannot name files {place!r}: the regions have nothing that is called "
                f"{match[1]!r}. Use {listed}."
            )
            raise ArgumentError(msg)
    if any(match[1] in known for match in _FIELD.finditer(folder)):
        msg = (
            f"Cannot name files {place!r}: fields such as {{index}} are filled in in "
            "the names of files, not of folders. Put them last."
        )
        raise ArgumentError(msg)


def _filled(values: Mapping[str, Any], match: re.Match[str]) -> str:
    """Return the value of a field of a name template, fit for a file name.

    Without a value it stays: a single file may have braces in its name.
    """
    if match[1] not in values:
        return match[0]
    value, width = values[match[1]], (match[2] or ":")[1:].rstrip("d")
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return f"{int(value):{width}d}" if width else str(int(value))
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        value = f"{float(value):.6g}"
    text = re.sub(r'[\x00-\x1f\x7f/\\<>:"|?*\ud800-\udfff]', "_", str(value))
    short = text.encode()[:_MAX_FIELD].decode(errors="ignore")
    return short.strip(". ") or "_"


def csv_path(place: str) -> str:
    """Return the path of the table of several files."""
    folder, name = os.path.split(place)
    stem = _FIELD.sub("", split_ending(name)[0]).strip(" _-.")
    return os.path.join(folder, f"{stem or 'regions'}.csv")


def json_path(path: str) -> str:
    """Return the path of the metadata of a file."""
    return f"{path}.json"


def check_paths(plan: ExportPlan) -> None:
    """Refuse names that no file can have, and places where the pixels come from.

    Raises
    ------
    ArgumentError
        Says what is wrong.
    """
    for path in plan.paths:
        check_name(path)
    if plan.options.json and not is_local(plan.files[0].path):
        msg = "A .json file is written to local folders only; leave json out."
        raise ArgumentError(msg)
    places = _source_places(plan.source)
    for path in filter(is_local, plan.paths):
        target = os.path.realpath(path)
        for place in places:
            if target == place:
                problem = "that is the image that the pixels come from"
            elif _holds(place, target):
                problem = "that is inside of the image that the pixels come from"
            elif _holds(target, place):
                problem = "the image that the pixels come from is inside of that"
            else:
                continue
            msg = f"Cannot export to {path!r}: {problem}. Choose another place."
            raise ArgumentError(msg)


def _holds(folder: str, path: str) -> bool:
    return path.startswith(folder.rstrip(os.sep) + os.sep)


def _source_places(source: ExportSource) -> set[str]:
    """Return the files or folders that the pixels come from, as far as it is known."""
    found: set[str] = set()
    if source.uri and is_local(source.uri):
        found.add(normalize_uri(source.uri))
    for level in source.levels:
        found |= source_places(level)
    return {os.path.realpath(place) for place in found}
