"""Reading a group at a time, and committing to it all at once."""

from __future__ import annotations

import os
import shutil

import pytest
import tiledb

from napari_msimage import DenseNDArray
from napari_msimage.errors import FormatError, SOMAError
from napari_msimage.storage import SOMATileDBContext
from napari_msimage.storage import _group as groups
from napari_msimage.storage._group import (
    GroupChange,
    Member,
    commit,
    create_group,
    load_group,
)
from napari_msimage.storage._metadata import Unreadable
from napari_msimage.storage._staging import STAGING_MARK

NOW = 2**62


@pytest.fixture
def ctx():
    return SOMATileDBContext().tiledb_ctx("/")


@pytest.fixture
def group(tmp_path, ctx):
    """A group with the members a and b, and the entries x and y, at time 100."""
    uri = str(tmp_path / "group")
    create_group(uri, ctx)
    for name in "abc":
        DenseNDArray.create(f"{uri}/{name}", type="uint8", shape=(2,)).close()
    change = GroupChange((member("a"), member("b")), set_metadata={"x": 1, "y": "é"})
    assert commit(uri, change, ctx, 100) == 100
    return uri


def member(name):
    return Member(name, "", is_relative=True, stored=name)


def facts(uri, ctx, time=NOW):
    found = load_group(uri, ctx, time)
    return list(found.members), found.metadata


def test_members_and_entries_come_back(group, ctx):
    found = load_group(group, ctx, NOW)
    assert list(found.members) == ["a", "b"]
    assert found.members["a"].uri == f"file://{group}/a"
    assert found.members["a"].is_relative
    assert found.members["a"].is_array
    assert found.metadata == {"x": 1, "y": "é"}
    assert type(found.metadata["x"]) is int


def test_group_is_read_at_a_time(group, ctx):
    change = GroupChange((member("c"),), ("a",), {"x": 2}, ("y",))
    assert commit(group, change, ctx, 200) == 201  # additions first, removals later
    assert facts(group, ctx, 99) == ([], {})
    assert facts(group, ctx, 199) == (["a", "b"], {"x": 1, "y": "é"})
    assert facts(group, ctx, 201) == (["b", "c"], {"x": 2})


def test_members_are_sorted_by_the_bytes_of_their_names(group, ctx):
    for name in ("é", "B", "10", "9"):
        shutil.copytree(f"{group}/c", f"{group}/{name}")
    added = tuple(member(name) for name in ("é", "B", "10", "9"))
    commit(group, GroupChange(added), ctx, 200)
    assert facts(group, ctx)[0] == ["10", "9", "B", "a", "b", "é"]


def test_removed_and_added_member_is_replaced(group, ctx):
    change = GroupChange((Member("a", "", is_relative=True, stored="c"),), ("a",))
    assert commit(group, change, ctx, 200) == 200
    assert load_group(group, ctx, NOW).members["a"].uri.endswith("/c")


@pytest.mark.parametrize("times", [(200, 200), (100, 100), (200, 150)], ids=str)
def test_changes_of_members_never_share_a_timestamp(group, ctx, times):
    for _ in range(6):  # equal timestamps are replayed in random order
        first = commit(group, GroupChange(remove=("a",)), ctx, times[0], NOW)
        second = commit(group, GroupChange(add=(member("a"),)), ctx, times[1], NOW)
        assert 100 < first < second
        assert facts(group, ctx)[0] == ["a", "b"]


def test_explicit_time_in_the_past_stays_there(group, ctx):
    assert commit(group, GroupChange((member("c"),)), ctx, 50) == 50
    assert facts(group, ctx, 60)[0] == ["c"]


def test_entries_alone_keep_their_timestamp(group, ctx):
    assert commit(group, GroupChange(set_metadata={"z": 1}), ctx, 100, NOW) == 100


def test_nothing_to_change_writes_nothing(group, ctx):
    before = sorted(os.walk(group))
    commit(group, GroupChange(), ctx, 200)
    assert sorted(os.walk(group)) == before


def test_values_that_cannot_be_read_are_marked(group, ctx, monkeypatch):
    class Meta(dict):
        def __getitem__(self, key):
            if key == "flag":
                raise tiledb.TileDBError("TileDB datatype not supported")
            return dict.__getitem__(self, key)

    entries = groups.read_entries(Meta(flag=True, x=1))
    assert isinstance(entries["flag"], Unreadable)
    assert entries["x"] == 1


def test_members_without_a_name_are_no_levels(group, ctx):
    with tiledb.Group(group, "w") as handle:
        handle.add("c", relative=True)
    assert facts(group, ctx)[0] == ["a", "b"]


def test_groups_as_members_are_told_apart(group, ctx):
    create_group(f"{group}/inner", ctx)
    with tiledb.Group(group, "w") as handle:
        handle.add("inner", name="inner", relative=True)
    assert not load_group(group, ctx, NOW).members["inner"].is_array


def test_too_many_members_are_refused(group, ctx, monkeypatch):
    monkeypatch.setattr(groups, "MAX_MEMBERS", 1)
    monkeypatch.setattr(groups.time, "sleep", lambda _seconds: None)
    with pytest.raises(FormatError, match="has 2 members; at most 1"):
        load_group(group, ctx, NOW)


def test_commit_of_another_program_is_waited_for(group, ctx, monkeypatch):
    torn = os.path.join(group, "__group", "__150_150_0123456789abcdef_2")
    with open(torn, "wb"):
        pass
    monkeypatch.setattr(groups.time, "sleep", lambda _seconds: os.unlink(torn))
    assert facts(group, ctx)[0] == ["a", "b"]


def test_folders_that_git_dropped_are_made_again(group, ctx):
    shutil.rmtree(os.path.join(group, "__meta"))
    commit(group, GroupChange(set_metadata={"z": 1}), ctx, 200)
    assert facts(group, ctx) == (["a", "b"], {"z": 1})


def test_file_systems_without_hard_links_work(group, ctx, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    commit(group, GroupChange((member("c"),), set_metadata={"z": 1}), ctx, 200)
    assert facts(group, ctx) == (["a", "b", "c"], {"x": 1, "y": "é", "z": 1})


CALLS = ["mkdir", "link", "rename", "fsync", "listdir"]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("at", range(1, 9))
def test_commit_that_fails_can_be_repeated(group, ctx, monkeypatch, name, at):
    """Whatever fails, the group is readable, tidy, and never names what is missing."""
    real, calls = getattr(os, name), []
    change = GroupChange((member("c"),), ("a",), {"level c": 1}, ("x",))

    def failing(*args, **kwargs):
        calls.append(args)
        if len(calls) == at:
            raise OSError(28, "No space left on device")
        return real(*args, **kwargs)

    monkeypatch.setattr(os, name, failing)
    try:
        commit(group, change, ctx, 200)
    except SOMAError as error:
        assert "disk is full" in str(error)  # noqa: PT017 - late points succeed
    monkeypatch.undo()
    assert not [entry for entry in os.listdir(group) if STAGING_MARK in entry]
    members, entries = facts(group, ctx)
    assert {"b"} < set(members)
    assert "c" in members or "level c" not in entries
    assert "a" in members or "x" not in entries
    removed = tuple(name for name in ("a", "c") if name in members)
    commit(
        group, GroupChange((member("c"),), removed, {"level c": 1}, ("x",)), ctx, 300
    )
    assert facts(group, ctx) == (["b", "c"], {"y": "é", "level c": 1})
