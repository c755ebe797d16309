"""Sentences of the "Save as SOMA image" form about plans and runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from ._jobs import Outcome
from ._run_part import Names, took
from ._save_place import full_place

if TYPE_CHECKING:
    from .._save_preview import SavePreview
    from .._save_wish import LayerParts, SaveWish


def plan_in_words(preview: SavePreview) -> str:
    """Return what a plan takes, "" if there is none."""
    from ...engines import bytes_in_words

    store = preview.store_plan
    if store is None:
        return ""
    what = "An image"
    if "" not in store.images:
        what = f"A scene of {count(store.images, 'image')}"
    place = preview.wish.destination
    if full_place(place) != place:
        what += f" at {full_place(place)!r}"
    free = preview.free_bytes
    return (
        f"{what}, at most {bytes_in_words(store.nbytes)} on disk"
        + ("" if free is None else f" ({bytes_in_words(free)} are free)")
        + f", about {bytes_in_words(store.peak_bytes)} of memory."
    )


def questions_of(preview: SavePreview) -> list[str]:
    """Return what is to be asked before a run: a question, and details; or nothing."""
    details = []
    if preview.place == "soma":
        details.append(
            f"What is at {full_place(preview.wish.destination)!r} will be replaced; "
            "it cannot be brought back."
        )
    plan = preview.layers_plan
    if plan is not None and plan.skipped:
        details.append(f"These layers will not be saved: {', '.join(plan.skipped)}.")
    if not details:
        return []
    question = "Replace the SOMA image?"
    if preview.place != "soma":
        question = "Save without some of the layers?"
    return [question, *details]


def end_in_words(wish: SaveWish, what: str, outcome: Outcome[Names]) -> str:
    """Return how a run ended that did not fail.

    Parameters
    ----------
    wish : SaveWish
        What was run.
    what : str
        Which layers, as of `layers_in_words`.
    outcome : Outcome
        Done, or cancelled.
    """
    place = full_place(wish.destination)
    if outcome.kind == "cancelled":
        if wish.replace:
            return f"Cancelled; what is at {place!r} is as it was."
        return f"Cancelled; nothing is left at {place!r}."
    return f"Saved {what} to {place!r} in {took(outcome)}."


def layers_in_words(layers: Sequence[LayerParts]) -> str:
    """Return the name of a layer that is saved, or how many there are."""
    names = [
        str(attributes["name"]) for data, attributes, _ in layers if data is not None
    ]
    return repr(names[0]) if len(names) == 1 else count(names, "layer")


def count(things: Collection[Any], noun: str) -> str:
    """Return how many things there are, as text."""
    return f"{len(things)} {noun}{'s' if len(things) != 1 else ''}"
