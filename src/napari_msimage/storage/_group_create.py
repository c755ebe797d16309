"""Making a new group of any kind: all or nothing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ..errors import AlreadyExistsError
from ._context import is_local, storage_errors
from ._group import GroupChange, commit, create_group
from ._probe import kind_of
from ._staging import remove_object, staged_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ._clock import WriteClock
    from ._context import SOMATileDBContext
    from ._metadata import MetadataValue


@contextlib.contextmanager
def new_group(address: str, context: SOMATileDBContext, noun: str) -> Iterator[str]:
    """Make an empty group, which appears when the body of the ``with`` succeeds.

    A local group is made beside its place and renamed into it.

    Parameters
    ----------
    address : str
        Normalized address.
    context : SOMATileDBContext
        TileDB configuration.
    noun : str
        What it is going to be, for messages.

    Yields
    ------
    str
        Where the group is now.

    Raises
    ------
    AlreadyExistsError
        If something is stored at the address.
    SOMAError
        If writing fails; then nothing is left behind.
    """
    ctx = context.tiledb_ctx(address)
    kind = kind_of(address, ctx)
    if kind not in ("missing", "folder"):
        msg = (
            f"Cannot create {'an' if noun == 'image' else 'a'} {noun} at {address!r}: "
            f"something ({kind}) is already there. Choose another place, or remove it "
            "first."
        )
        raise AlreadyExistsError(msg)
    with storage_errors(f"create the {noun}", address):
        if is_local(address):
            with staged_folder(address) as staged:
                create_group(staged, ctx)
                yield staged
            return
        try:
            create_group(address, ctx)
            yield address
        except BaseException:
            if kind == "missing":  # else it holds things that are not ours
                remove_object(address, ctx)
            raise


def create_plain_group(
    entries: Mapping[str, MetadataValue],
    noun: str,
    address: str,
    context: SOMATileDBContext,
    clock: WriteClock,
) -> None:
    """Write a new group with metadata and without members; see `new_group`."""
    ctx = context.tiledb_ctx(address)
    with new_group(address, context, noun) as target:
        stamp = clock.for_names(address, entries)
        stamp = commit(target, GroupChange(set_metadata=entries), ctx, stamp)
        clock.note_names(address, entries, stamp)
