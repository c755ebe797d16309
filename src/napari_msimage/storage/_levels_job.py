"""One job of adding levels: which image, and whether it can take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import AlreadyExistsError, DoesNotExistError
from ._clock import WriteClock
from ._context import now_ms
from ._group import load_group
from ._image_members import check_new_level
from ._image_state import ImageState
from ._metadata import read_image_metadata
from ._probe import require_group

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._context import SOMATileDBContext
    from ._group import Member
    from ._image_levels import Level


@dataclass(frozen=True, slots=True)
class LevelsJob:
    """An image that is to get levels."""

    uri: str
    """Address of the image as the user gave it, for messages."""
    address: str
    """Normalized address."""
    context: SOMATileDBContext
    """TileDB configuration, without a timestamp."""
    replace: frozenset[str]
    """Keys of existing levels that new ones may take."""

    @property
    def ctx(self) -> Any:
        """TileDB context for the image."""
        return self.context.tiledb_ctx(self.address)

    def check_image(self) -> None:
        """Check that the image is there and can be read.

        Raises
        ------
        DoesNotExistError
            If there is no TileDB group.
        FormatError
            If it is not a SOMA multiscale image, or damaged.
        """
        require_group(self.address, self.ctx)
        present = load_group(self.address, self.ctx, now_ms())
        read_image_metadata(present.metadata, self.address)

    def load_state(self) -> ImageState:
        """Return the image as it is now, in a session of its own.

        Raises
        ------
        SOMAError
            If it is gone, or cannot be read.
        """
        clock = WriteClock(None)
        state = ImageState(self.uri, self.address, self.context, clock)
        state.load("w", clock.base_ms, stacklevel=None)
        return state

    def put_levels(
        self, state: ImageState, wishes: Iterable[tuple[Level, Member]]
    ) -> None:
        """Note new levels in a session, after checking that the image can take them.

        Raises
        ------
        LevelKeyError
            If a key is taken, and levels are not to be replaced.
        ArgumentError, ArgumentTypeError
            If a key or shape makes no sense, or there would be too many levels.
        """
        wishes = list(wishes)
        for level, _ in wishes:
            if level.key in self.replace and level.key in state.members:
                state.remove(level.key)
        for level, member in wishes:
            check_new_level(state, level.key, level.shape)
            state.add(level, member)

    def fresh(self, keys: Iterable[str]) -> list[str]:
        """Return the keys, of some, that must not be taken."""
        return [key for key in keys if key not in self.replace]

    def check_free(self, keys: Iterable[str], taken: Iterable[str]) -> None:
        """Check that nobody has taken the keys while the levels were made.

        Raises
        ------
        AlreadyExistsError
            If somebody has.
        """
        if clashes := sorted(set(keys) & set(taken)):
            names = ", ".join(map(repr, clashes))
            msg = (
                f"Somebody else has given {self.uri!r} a level {names} while a new "
                "level of that key was made; theirs stays, and the new ones are not "
                "added. Choose another key, or replace theirs."
            )
            raise AlreadyExistsError(msg)

    def removed_meanwhile(self) -> DoesNotExistError:
        """Return the error for an image that is gone."""
        return DoesNotExistError(
            f"The image at {self.uri!r} was removed while levels were made for it. "
            "They are lost with it; make them again where the image is now."
        )
