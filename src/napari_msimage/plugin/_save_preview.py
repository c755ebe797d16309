"""What saving layers would do: levels, bytes, notes, and the place; no Qt."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING, Final, Literal

from ..engines import plan_store
from ..errors import AccessError, AlreadyExistsError, ArgumentError, SOMAError
from ..storage import (
    SOMATileDBContext,
    is_inside,
    is_local,
    kind_of,
    normalize_uri,
    probe,
)
from ._free_space import free_bytes
from ._layer_source import WRITTEN_TYPES
from ._save_axes import axes_of
from ._save_plan import images_to_write, plan_to_save, worded_for_the_form
from ._write_layers import write_plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..engines import StorePlan
    from ._save_wish import LayerAxes, LayerParts, SaveWish
    from ._write_plan import LayersPlan

#: What is at a destination: nothing, an image or scene, or else.
PlaceKind = Literal["free", "soma", "taken"]

_REPLACED: Final = ("SOMAMultiscaleImage", "SOMAScene")
_MAX_NOTES: Final = 5
#: File systems take 255; the temporary folder beside it has a longer name.
_MAX_NAME: Final = 180


@dataclasses.dataclass(frozen=True, slots=True)
class SavePreview:
    """What a wish makes of layers."""

    layers: tuple[LayerParts, ...]
    """The layers as they were."""
    wish: SaveWish
    """The wish."""
    axes: LayerAxes | None = None
    """Axes of the first layer, as it is."""
    layers_plan: LayersPlan | None = None
    """What is to be written, if the wish makes sense."""
    store_plan: StorePlan | None = None
    """Its levels."""
    makes_levels: bool = False
    """Whether coarser levels are made of any layer."""
    address: str = ""
    """The destination, normalised."""
    place: PlaceKind = "free"
    """What is at the destination."""
    free_bytes: int | None = None
    """Space on the disk of the destination; None for object stores."""
    error: SOMAError | None = None
    """What is wrong with the wish, or the place."""

    @property
    def can_run(self) -> bool:
        """Whether nothing is wrong."""
        return self.store_plan is not None and self.error is None

    @property
    def can_replace(self) -> bool:
        """Whether the destination is something that may be replaced."""
        is_refused = self.error is not None and not isinstance(
            self.error, AlreadyExistsError
        )
        return self.place == "soma" and not is_refused

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know before, as sentences."""
        plan = self.layers_plan
        if plan is None:
            return ()
        notes = list(plan.notes)
        if len(notes) > _MAX_NOTES:
            n_more = len(notes) - _MAX_NOTES + 1
            notes[_MAX_NOTES - 1 :] = [f"And {n_more} more notes of this kind."]
        if plan.skipped:
            notes.append(f"Not saved: {', '.join(plan.skipped)}.")
        return tuple(notes)


def preview_save(
    layers: Sequence[LayerParts], wish: SaveWish, shown: Mapping[str, str]
) -> SavePreview:
    """Plan the saving of layers and look at the place; reads no pixels, in any thread.

    Parameters
    ----------
    layers : sequence of LayerParts
        Bottom to top.
    wish : SaveWish
        How to save them, and where.
    shown : mapping of str to str
        Names of open layers by the URI that they are read from.
    """
    found = SavePreview(tuple(layers), wish)
    first = next((one for one in layers if one[2] in WRITTEN_TYPES), None)
    if first is not None:
        with contextlib.suppress(SOMAError):  # told by the plan
            found = dataclasses.replace(found, axes=axes_of(first, wish.channel_axis))
    try:
        plan = plan_to_save(layers, wish)
        store = plan_store(plan.what)
    except SOMAError as err:
        return dataclasses.replace(found, error=err)
    found = dataclasses.replace(
        found,
        layers_plan=plan,
        store_plan=store,
        makes_levels=any(
            image.more_levels for image in images_to_write(plan.what).values()
        ),
    )
    try:
        found = _with_place(found)
        _check_place(found, plan, shown)
    except SOMAError as err:
        found = dataclasses.replace(found, error=worded_for_the_form(err))
    return found


def address_of(destination: str) -> str:
    """Return the normalised address of a destination as typed.

    Raises
    ------
    SOMAError
        If it is none.
    """
    text = destination.strip()
    if not text:
        msg = (
            "Enter where to save: a new folder, or an address such as "
            "s3://bucket/name.soma."
        )
        raise ArgumentError(msg)
    address = normalize_uri(os.path.expanduser(text))
    name = os.path.basename(address)
    if not name.isprintable() or len(os.fsencode(name)) > _MAX_NAME:
        msg = (
            f"{name[:40]!r} cannot be the name of a folder. Enter one without control "
            f"characters, of at most {_MAX_NAME} bytes."
        )
        raise ArgumentError(msg)
    return address


def _with_place(found: SavePreview) -> SavePreview:
    """Look at what is at the destination."""
    address = address_of(found.wish.destination)
    found = dataclasses.replace(found, address=address)
    if not is_local(address):
        ctx = SOMATileDBContext().tiledb_ctx(address)
        is_free = kind_of(address, ctx) in ("missing", "folder")
        return dataclasses.replace(found, place="free" if is_free else "taken")
    place: PlaceKind = "free"
    if os.path.lexists(address):
        is_soma = not os.path.islink(address) and _is_soma(address)
        place = "soma" if is_soma else "taken"
    return dataclasses.replace(found, place=place, free_bytes=free_bytes(address))


def _is_soma(address: str) -> bool:
    return probe(address) in _REPLACED


def _check_place(
    found: SavePreview, plan: LayersPlan, shown: Mapping[str, str]
) -> None:
    """Refuse what the run would refuse."""
    wish, address = found.wish, found.address
    if found.place == "taken":
        raise AlreadyExistsError(_taken(wish.destination.strip(), address))
    if not is_local(address):
        write_plan(address, plan).close()
        return
    folder = os.path.dirname(address)
    if os.path.lexists(folder) and not os.path.isdir(folder):
        msg = (
            f"Nothing can be saved in {folder!r}: it is a file, no folder. Choose "
            "another place."
        )
        raise AlreadyExistsError(msg)
    if os.path.isdir(folder) and not os.access(folder, os.W_OK):
        msg = (
            f"The folder {folder!r} cannot be written to. Choose another folder, or "
            "have its permissions changed."
        )
        raise AccessError(msg)
    # its first step has looked at everything, and has changed nothing
    with contextlib.closing(
        write_plan(address, plan, replace=found.place == "soma")
    ) as engine:
        next(engine)
    if found.place == "soma":
        _check_replaced(address, wish, shown)


def _taken(place: str, address: str) -> str:
    """Return what to say of a place that is taken, and is not replaced."""
    if os.path.isdir(address) and probe(address) is None:
        example = os.path.join(place, "image.soma")
        return (
            f"There is a folder at {place!r} already, which is not replaced. Add a "
            f"name to save in it, such as {example!r}, or choose another one."
        )
    return (
        f"There is something at {place!r} already, which is not replaced. Choose "
        "another name."
    )


def _check_replaced(address: str, wish: SaveWish, shown: Mapping[str, str]) -> None:
    """Refuse to replace without being asked, or what is on the screen."""
    if not wish.replace:
        msg = (
            f"There is a SOMA image at {wish.destination.strip()!r} already. Choose "
            "another name, or tick 'Replace'."
        )
        raise AlreadyExistsError(msg)
    for uri, name in shown.items():
        if _is_part(normalize_uri(uri), address):
            msg = (
                f"The layer {name!r} shows what is to be replaced. Remove that layer "
                "first, or choose another name."
            )
            raise AlreadyExistsError(msg)


def _is_part(uri: str, address: str) -> bool:
    return uri == address or is_inside(uri, address)
