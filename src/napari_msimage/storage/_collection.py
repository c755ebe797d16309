"""Collection: named SOMA objects of any kind, stored as the members of a group."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, NoReturn, Self

from ..errors import ArgumentError, ArgumentTypeError, MemberKeyError, UnsupportedError
from ._array_state import ArrayState
from ._collection_mapping import CLASSES, CollectionMapping
from ._collection_state import CollectionState
from ._context import is_local, normalize_uri
from ._dense_array import DenseNDArray
from ._group import MAX_MEMBERS
from ._group_create import create_plain_group
from ._member_places import check_member_uri, member_at, member_for
from ._metadata import ENCODING_VERSION, OBJECT_TYPE, VERSION_WRITTEN
from ._multiscale_image import MultiscaleImage
from ._names import check_member_key
from ._probe import kind_of
from ._soma_object import SOMAObject
from ._soma_types import COLLECTION_TYPE
from ._staging import missing_parents, remove_empty, remove_object

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._context import OpenTimestamp, SOMATileDBContext
    from ._group import Member
    from ._group_state import GroupState
    from ._soma_group import SOMAGroup
    from ._soma_object import Maker, Session


class Collection(CollectionMapping):
    """Named SOMA objects: images, arrays, scenes and other collections.

    A mapping of keys to objects, with the methods and attributes of
    ``tiledbsoma.Collection``. Members open in the collection's mode and are closed with
    it. Use it in a ``with`` block: changes of metadata and members are written when it
    is closed.

    Notes
    -----
    An experiment or a measurement opens as a `Collection` too; `soma_type` tells which
    it is. Members of types that this package does not read (dataframes, sparse arrays)
    are listed, and have a `member_type`, but do not open. tiledbsoma 2.3 refuses to
    open an experiment with ``Collection.open``, and says that no collection exists.
    """

    __slots__ = ()

    _state: CollectionState
    _state_class = CollectionState

    # Lifecycle

    @classmethod
    def create(
        cls,
        uri: str,
        *,
        platform_config: Any = None,
        context: SOMATileDBContext | None = None,
        tiledb_timestamp: OpenTimestamp | None = None,
    ) -> Self:
        """Make an empty collection and return it open for writing.

        Parameters
        ----------
        uri : str
            Where; parent folders are made.
        platform_config : optional
            As upstream's; has no effect.
        context : SOMATileDBContext, optional
            TileDB configuration.
        tiledb_timestamp : int or datetime.datetime, optional
            Timestamp of all writes, ms since 1970-01-01 UTC; now by default.

        Raises
        ------
        AlreadyExistsError
            If something is stored at the URI.
        """
        make = cls._prepare(platform_config=platform_config)
        return cls._create(uri, make, context, tiledb_timestamp)

    @classmethod
    def _prepare(cls, *, platform_config: Any = None) -> Maker:
        entries = {OBJECT_TYPE: COLLECTION_TYPE, ENCODING_VERSION: VERSION_WRITTEN}
        return functools.partial(create_plain_group, entries, "collection")

    # Adding members

    def set(
        self, key: str, value: SOMAObject, *, use_relative_uri: bool | None = None
    ) -> Self:
        """Make an existing object a member of this collection.

        It stays what it was before: its mode is its own, and it is not closed with the
        collection.

        Parameters
        ----------
        key : str
            Key of the new member.
        value : MultiscaleImage, DenseNDArray, Collection or Scene
            Stored inside or outside the collection's folder.
        use_relative_uri : bool, optional
            Store its address relative to the collection; by default for objects inside
            its folder.

        Returns
        -------
        Collection
            This collection.

        Raises
        ------
        MemberKeyError
            If the key is taken.
        ArgumentError, ArgumentTypeError
            If key or value make no sense.
        ModeError
            If the collection is not open for writing.
        """
        if not isinstance(value, SOMAObject):
            msg = (
                "A member must be an image, array, collection or scene of this "
                f"package, got {type(value).__name__}"
            )
            raise ArgumentTypeError(msg)
        self._check_new(key, type(value))
        state = self._state
        is_array = isinstance(value, DenseNDArray)
        member = member_for(
            state.address, key, value.uri, use_relative_uri, is_array=is_array
        )
        self._check_place(key, member)
        state.add(member)
        if not value.closed:
            state.lend(key, value._state)
            self._children[key] = value
        return self

    def add_new_collection(
        self,
        key: str,
        kind: type[Any] | None = None,
        *,
        uri: str | None = None,
        platform_config: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Make a new group as a member and return it open for writing.

        It belongs to this collection once this collection is closed.

        Parameters
        ----------
        key : str
            Key of the new member. Its folder is named after it, percent-encoded.
        kind : type, optional
            `Collection` (default), `Scene` or `MultiscaleImage`.
        uri : str, optional
            Where it is to be, relative to this collection unless absolute.
        platform_config : optional
            For ``kind.create``.
        **kwargs
            More options of ``kind.create``.

        Raises
        ------
        MemberKeyError
            If the key is taken.
        AlreadyExistsError
            If something is stored at `uri`.
        ArgumentError, ArgumentTypeError
            If key, kind or an option make no sense.
        ModeError
            If this collection is not open for writing.
        """
        cls = self._check_kind(Collection if kind is None else kind)
        self._check_new(key, cls)
        options = {"platform_config": platform_config, **kwargs}
        _check_options(cls, options)
        state_class = cls._state_class

        def open_new(uri: str, address: str) -> GroupState:
            state = self._state
            child = state_class(uri, address, state.context, state.clock)
            child.load("w", state.timestamp_ms, stacklevel=None)
            return child

        return self._add(key, uri, cls._prepare(**options), open_new, is_array=False)

    def add_new_dense_ndarray(
        self,
        key: str,
        *,
        uri: str | None = None,
        type: Any,
        shape: Sequence[int],
        platform_config: Any = None,
    ) -> DenseNDArray:
        """Make a dense array as a member and return it open for writing.

        Parameters
        ----------
        key : str
            Key of the new member.
        uri : str, optional
            Where it is to be, relative to this collection unless absolute.
        type, shape, platform_config
            As for `DenseNDArray.create`; `shape` in data axis order.

        Raises
        ------
        MemberKeyError, AlreadyExistsError, ArgumentError, ArgumentTypeError, ModeError
            As for `add_new_collection`.
        """
        self._check_new(key, DenseNDArray)
        make = DenseNDArray._prepare(
            type=type, shape=shape, platform_config=platform_config
        )

        def open_new(uri: str, address: str) -> ArrayState:
            return ArrayState(uri, address, "w", self._state.context, self._state.clock)

        return self._add(key, uri, make, open_new, is_array=True)  # type: ignore[no-any-return]

    def add_new_dataframe(
        self,
        key: str,
        *,
        uri: str | None = None,
        schema: Any,
        domain: Any = None,
        index_column_names: Sequence[str] = ("soma_joinid",),
        platform_config: Any = None,
    ) -> NoReturn:
        """Refuse: this package makes no dataframes.

        Raises
        ------
        UnsupportedError
            Always; says what to use.
        """
        self._refuse_new(key, "dataframes", "add_new_dataframe")

    def add_new_sparse_ndarray(
        self,
        key: str,
        *,
        uri: str | None = None,
        type: Any,
        shape: Sequence[int | None],
        platform_config: Any = None,
    ) -> NoReturn:
        """Refuse: this package makes no sparse arrays.

        Raises
        ------
        UnsupportedError
            Always; says what to use.
        """
        self._refuse_new(key, "sparse arrays", "add_new_sparse_ndarray")

    def _refuse_new(self, key: str, things: str, method: str) -> NoReturn:
        msg = (
            f"Cannot add {key!r} to {self.uri!r}: this package makes no {things}. "
            f"Close it here and use tiledbsoma: tiledbsoma.open({self.uri!r}, 'w')."
            f"{method}({key!r}, ...)."
        )
        raise UnsupportedError(msg)

    def _add(
        self,
        key: str,
        uri: str | None,
        make: Maker,
        open_new: Callable[[str, str], Session],
        *,
        is_array: bool,
    ) -> Any:
        """Write a new member and open it; all or nothing."""
        state = self._state
        check_member_uri(uri)
        member = member_at(
            key, uri, state.address, state.address, state.ctx, is_array=is_array
        )
        self._check_place(key, member)
        address = normalize_uri(member.uri)
        ctx = state.context.tiledb_ctx(address)
        is_free = kind_of(address, ctx) == "missing"
        parents = missing_parents(address) if is_local(address) else []
        make(address, state.context, state.clock)
        try:
            state.add(member)
            child = open_new(state.member_uri(key), address)
        except BaseException:
            state.remove(key)
            if is_free:  # else it holds things that are not ours
                remove_object(address, ctx)
                remove_empty(parents)
            raise
        state.adopt(key, child)
        return self._child(key, child, CLASSES[type(child)])

    def _check_new(self, key: Any, kind: type[SOMAObject]) -> None:
        """Check that a member of a kind may be added under a key."""
        state = self._state
        check_member_key(key)
        if key in state.members:
            msg = (
                f"The {state.noun} at {self.uri!r} already has a member {key!r}; "
                "choose another key, or remove that member first"
            )
            raise MemberKeyError(msg)
        state.verify_mode("add a member to", "w")
        if len(state.members) >= MAX_MEMBERS:
            msg = (
                f"The {state.noun} at {self.uri!r} has {MAX_MEMBERS} members, which is "
                f"the most that can be read; no room for {key!r}"
            )
            raise ArgumentError(msg)

    def _check_kind(self, kind: Any) -> type[SOMAGroup]:
        if isinstance(kind, type) and issubclass(kind, Collection | MultiscaleImage):
            return kind
        msg = (
            f"kind must be Collection, Scene or MultiscaleImage, got {kind!r}; for an "
            "array use add_new_dense_ndarray"
        )
        raise ArgumentTypeError(msg)

    def _check_place(self, key: str, member: Member) -> None:
        if normalize_uri(member.uri) == self._state.address:
            msg = (
                f"The member {key!r} cannot be stored in the own folder of the "
                f"{self._state.noun}, {self._state.address!r}; give it another"
            )
            raise ArgumentError(msg)


CLASSES[CollectionState] = Collection


def _check_options(kind: type[Any], options: dict[str, Any]) -> None:
    """Refuse options that the kind's ``create`` does not take, or lacks."""
    own = {"uri", "context", "tiledb_timestamp"}
    known = {
        name: parameter
        for name, parameter in inspect.signature(kind.create).parameters.items()
        if name not in own
    }
    needed = [n for n, p in known.items() if p.default is p.empty and n not in options]
    unknown = [name for name in options if name not in known]
    if unknown or needed:
        msg = (
            f"A new {kind.__name__} takes the options {sorted(known)}; got unknown "
            f"{unknown} and lacks {needed}"
        )
        raise ArgumentTypeError(msg)
