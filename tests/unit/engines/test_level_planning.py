"""plan_levels: which levels are missing, what they are called, and bad wishes."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import pickle
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_msimage import LevelPlan, MultiscaleImage, plan_levels
from napari_msimage.engines import _level_planning
from napari_msimage.engines._level_facts import ImageFacts
from napari_msimage.engines._level_tiles import TileWish, choose_extents
from napari_msimage.engines._level_wishes import (
    StepWish,
    explicit_shapes,
    missing_shapes,
)
from napari_msimage.errors import (
    ArgumentError,
    ArgumentTypeError,
    DoesNotExistError,
    LevelKeyError,
    ModeError,
    UnsupportedError,
)
from napari_msimage.storage import SOMATileDBContext

ORDERS = {
    2: (("x", "y"), ("soma_channel", "y", "x")),
    3: (("x", "y", "z"), ("soma_channel", "z", "y", "x")),
}


@pytest.fixture
def make(tmp_path):
    """Return a function that makes an image of empty levels; finest first."""

    def make(*shapes, keys=None, dtype="uint8", order=None, name="image.soma"):
        shapes = [tuple(shape) for shape in shapes]
        keys = keys or [f"level{i}" for i in range(len(shapes))]
        n_spatial = len(shapes[0]) - 1
        space, default = ORDERS.get(n_spatial, (("x",), ("soma_channel", "x")))
        uri = str(tmp_path / name)
        with MultiscaleImage.create(
            uri,
            type=dtype,
            level_shape=shapes[0],
            level_key=keys[0],
            coordinate_space=space,
            data_axis_order=order or default,
        ) as image:
            for key, shape in zip(keys[1:], shapes[1:], strict=True):
                image.add_new_level(key, shape=shape)
        return uri

    return make


@contextlib.contextmanager
def lent(image, _context):
    yield image


def facts_for(shape, source_extents, dtype="uint8"):
    """Return facts of an image that need not exist."""
    return ImageFacts(
        uri="a.soma",
        axis_names=("soma_channel", "y", "x"),
        displayed_axes=(2, 1),
        dtype=np.dtype(dtype),
        levels=(("level0", shape),),
        source_extents=source_extents,
    )


def planned(plan: LevelPlan) -> dict[str, tuple[int, ...]]:
    return {level.key: level.shape for level in plan.levels}


class TestMissingLevels:
    def test_are_made_until_the_longest_side_is_512(self, make):
        plan = plan_levels(make((3, 3000, 2000)))
        assert planned(plan) == {
            "level1": (3, 1500, 1000),
            "level2": (3, 750, 500),
            "level3": (3, 375, 250),
        }

    def test_are_planned_for_an_open_image_too(self, make):
        with MultiscaleImage.open(make((3, 1500, 1000))) as image:
            plan = plan_levels(image)
        assert list(planned(plan)) == ["level1", "level2"]

    def test_continue_below_the_coarsest(self, make):
        plan = plan_levels(make((3, 4096, 4096), (3, 2048, 2048)))
        assert planned(plan) == {"level2": (3, 1024, 1024), "level3": (3, 512, 512)}

    def test_fill_gaps(self, make):
        uri = make((3, 4000, 3000), (3, 500, 375), keys=["fullres", "lowres"])
        assert planned(plan_levels(uri)) == {
            "level1": (3, 2000, 1500),
            "level2": (3, 1000, 750),
        }
        assert not plan_levels(uri, between=False)

    def test_none_is_missing(self, make):
        plan = plan_levels(make((3, 400, 300)))
        assert not plan
        assert plan.peak_bytes == 0
        assert "none is missing" in str(plan)

    def test_of_a_volume_that_keeps_z(self, make):
        plan = plan_levels(make((2, 9, 1200, 1000)), factor={"z": 1})
        assert planned(plan) == {
            "level1": (2, 9, 600, 500),
            "level2": (2, 9, 300, 250),
        }

    def test_of_a_volume_shrink_z_too(self, make):
        plan = plan_levels(make((2, 9, 1200, 1000)))
        assert planned(plan) == {
            "level1": (2, 4, 600, 500),
            "level2": (2, 2, 300, 250),
        }

    def test_are_as_many_as_asked_for(self, make):
        plan = plan_levels(make((3, 101, 90)), n_levels=1)
        assert planned(plan) == {"level1": (3, 51, 45)}

    @pytest.mark.parametrize(
        ("factor", "expected"),
        [(4, (3, 250, 225)), (1.5, (3, 667, 600)), ({"x": 4, "y": 1}, (3, 1000, 225))],
    )
    def test_follow_the_factor(self, make, factor, expected):
        plan = plan_levels(make((3, 1000, 900)), factor=factor, n_levels=1)
        assert planned(plan) == {"level1": expected}

    def test_in_any_axis_order(self, make):
        uri = make((1000, 3, 800), order=("x", "soma_channel", "y"))
        assert planned(plan_levels(uri)) == {"level1": (500, 3, 400)}


class TestExplicitLevels:
    def test_by_shape(self, make):
        plan = plan_levels(make((3, 1000, 900)), shapes=[(3, 333, 299), (3, 7, 900)])
        assert planned(plan) == {"level1": (3, 333, 299), "level2": (3, 7, 900)}

    @pytest.mark.parametrize("kind", [np.array, iter, tuple])
    def test_by_any_kind_of_sequence(self, make, kind):
        uri = make((3, 1000, 900))
        plan = plan_levels(uri, shapes=kind([(3, 333, 299), (3, 99, 90)]))
        assert list(planned(plan)) == ["level1", "level2"]
        plan = plan_levels(uri, factors=kind([2, 4]), keys=iter(["a", "b"]))
        assert list(planned(plan)) == ["a", "b"]

    def test_by_factor(self, make):
        plan = plan_levels(make((3, 1000, 900)), factors=[2, {"x": 8}])
        assert planned(plan) == {"level1": (3, 1000, 113), "level2": (3, 500, 450)}

    def test_with_keys(self, make):
        plan = plan_levels(make((3, 1000, 900)), factors=[4, 2], keys=["q.1", "half"])
        assert planned(plan) == {"half": (3, 500, 450), "q.1": (3, 250, 225)}


class TestFactors:
    @given(side=st.integers(2, 5000), other=st.integers(2, 5000), data=st.data())
    def test_make_the_level_that_one_step_makes(self, side, other, data):
        shape = (3, side, other)
        factor = data.draw(
            st.one_of(
                st.integers(2, min(shape[1:])),
                st.floats(1.01, min(shape[1:])),
            ),
            "factor",
        )
        facts = facts_for(shape, (1, 512, 512))
        wish = StepWish(factor, None, 1, between=True, replace=False)
        with contextlib.suppress(ArgumentError):  # too small a step for any level
            expected = missing_shapes(facts, wish)
            assert explicit_shapes(facts, None, [factor]) == expected

    def test_beyond_a_short_axis_leave_one_pixel(self, make):
        uri = make((3, 3, 1200, 1000))
        assert planned(plan_levels(uri, factors=[8])) == {"level1": (3, 1, 150, 125)}
        assert planned(plan_levels(uri, factor=8, n_levels=1)) == {
            "level1": (3, 3, 150, 125)
        }


class TestOpenImages:
    def test_a_closed_one_is_refused(self, make):
        image = MultiscaleImage.open(make((3, 1500, 1000)))
        image.close()
        with pytest.raises(ModeError, match=r"is closed. Open it again with reopen"):
            plan_levels(image)

    def test_one_of_the_past_is_refused(self, make):
        uri = make((3, 1500, 1000))
        with MultiscaleImage.open(uri) as image:
            then = image.tiledb_timestamp_ms
        time.sleep(0.01)
        with MultiscaleImage.open(uri, "w") as image:
            image.add_new_level("small", shape=(3, 15, 10))
        with (
            MultiscaleImage.open(uri, tiledb_timestamp=then) as image,
            pytest.raises(ArgumentError, match=r"as it was at .*without a timestamp"),
        ):
            plan_levels(image)

    def test_a_context_with_a_timestamp_is_refused(self, make):
        uri = make((3, 1500, 1000))
        with MultiscaleImage.open(uri) as image:
            then = image.tiledb_timestamp_ms
        context = SOMATileDBContext(timestamp=then)
        with (
            MultiscaleImage.open(uri, context=context) as image,
            pytest.raises(ArgumentError, match="also in its context"),
        ):
            plan_levels(image)

    def test_one_with_levels_that_are_not_written_yet_is_planned_for(self, make):
        with MultiscaleImage.open(make((3, 1500, 1000)), "w") as image:
            image.add_new_level("level1", shape=(3, 750, 500))
            assert planned(plan_levels(image)) == {"level2": (3, 375, 250)}


class TestTileExtents:
    """Tiles that the user wants, where the source's hold many channels."""

    def plan(self, monkeypatch, shape):
        facts = facts_for(shape, (min(shape[0], 128), 128, 128), "float32")
        monkeypatch.setattr(_level_planning, "facts_of", lambda _: facts)
        monkeypatch.setattr(_level_planning, "opened", lent)
        tiles = zip(
            ("soma_dim_0", "soma_dim_1", "soma_dim_2"), (1, 512, 512), strict=True
        )
        config = {"dims": {name: {"tile": extent} for name, extent in tiles}}
        return plan_levels("a.soma", platform_config=config)

    @pytest.mark.parametrize("n_channels", [40, 100, 300])
    def test_of_one_channel_are_made_if_there_is_a_way(self, monkeypatch, n_channels):
        plan = self.plan(monkeypatch, (n_channels, 1500, 1501))
        assert {level.tile_extents[0] for level in plan.levels} == {1}
        assert plan.peak_bytes <= 224 * 2**20

    def test_that_no_way_can_make_are_refused_with_some_that_work(self, monkeypatch):
        with pytest.raises(
            ArgumentError,
            match=r"'level1' \(1, 512, 512\).*64 fragments.*which gives 'level1' \(",
        ):
            self.plan(monkeypatch, (300, 20_000, 20_001))

    @given(data=st.data())
    def test_chosen_ones_hold_no_more_than_two_million_cells(self, data):
        ndim = data.draw(st.integers(2, 4), "axes")
        shape = [data.draw(st.integers(1, 100_000), "side") for _ in range(ndim)]
        source = [data.draw(st.integers(1, 600), "source extent") for _ in range(ndim)]
        channel = data.draw(st.sampled_from([None, 0] if ndim > 2 else [None]))
        default = [data.draw(st.sampled_from([1, 16]), "depth") for _ in range(ndim)]
        default[-2:] = 512, 512
        default = [min(e, n) for e, n in zip(default, shape, strict=True)]
        wish = TileWish(
            data.draw(st.sampled_from([None, 1, 2])),
            data.draw(st.sampled_from([None, 128, 64]), "edge"),
            data.draw(st.sampled_from([None, 8]), "depth"),
        )
        extents = choose_extents(tuple(shape), default, source, channel, wish)
        assert math.prod(extents) <= 2**21
        assert all(e >= 1 for e in extents)


class TestReplacing:
    def test_levels_that_exist_keep_key_and_shape(self, make):
        uri = make((3, 2048, 2048), (3, 1000, 1000), keys=["a", "b c"])
        plan = plan_levels(uri, replace=True)
        assert planned(plan) == {"b c": (3, 1000, 1000), "level1": (3, 500, 500)}
        assert [level.replaces for level in plan.levels] == [True, False]

    def test_another_shape_under_the_same_key(self, make):
        uri = make((3, 2048, 2048), (3, 1000, 1000))
        with pytest.raises(LevelKeyError, match=r"has a level 'level1' already.*repl"):
            plan_levels(uri, factors=[2], keys=["level1"])
        plan = plan_levels(uri, factors=[2], keys=["level1"], replace=True)
        assert plan.levels[0].replaces

    def test_never_the_finest(self, make):
        with pytest.raises(LevelKeyError, match="is the finest one"):
            plan_levels(make((3, 99, 99)), factors=[2], keys=["level0"], replace=True)

    def test_a_shape_that_exists_is_refused(self, make):
        uri = make((3, 100, 100), (3, 50, 50))
        with pytest.raises(
            LevelKeyError, match=r"shape \(3, 50, 50\) already: 'level1'"
        ):
            plan_levels(uri, factors=[2])
        with pytest.raises(LevelKeyError, match="could not tell them apart"):
            plan_levels(uri, factors=[2], keys=["other"])


class TestPlan:
    def test_says_what_it_costs(self, make):
        plan = plan_levels(make((3, 1500, 1000), dtype="uint16"))
        first = plan.levels[0]
        assert first.nbytes == 3 * 750 * 500 * 2
        assert plan.nbytes == first.nbytes * 5 // 4
        assert first.downsample_factors == (1, 2, 2)
        assert first.tile_extents == (1, 375, 500)
        assert first.filters == ("BitShuffleFilter", "LZ4Filter")
        assert 0 < plan.peak_bytes < 250e6

    def test_is_printable(self, make):
        text = str(plan_levels(make((3, 1500, 1000))))
        for part in ("level2", "3 x 375 x 250", "1 x 4 x 4", "LZ4", "KiB", "threads"):
            assert part in text

    def test_is_frozen_comparable_and_picklable(self, make):
        uri = make((3, 1500, 1000))
        plan = plan_levels(uri)
        assert plan == plan_levels(uri) == pickle.loads(pickle.dumps(plan))
        with pytest.raises(dataclasses.FrozenInstanceError):
            plan.method = "max"

    def test_reads_no_pixels(self, make, monkeypatch):
        from napari_msimage.storage import _array_pool

        uri = make((3, 5000, 4000))
        monkeypatch.setattr(_array_pool, "read_box", None)
        assert plan_levels(uri)

    def test_tiles_and_filters_can_be_chosen(self, make):
        config = {
            "dims": {"soma_dim_1": {"tile": 64}},
            "attrs": {"soma_data": {"filters": ["ZstdFilter"]}},
        }
        first = plan_levels(make((3, 1500, 1000)), platform_config=config).levels[0]
        assert first.tile_extents == (1, 64, 500)
        assert first.filters == ("ZstdFilter",)


BAD_WISHES = {
    "factor 1": ({"factor": 1}, ArgumentError, "larger than 1 along at least one"),
    "factor below 1": ({"factor": 0.5}, ArgumentError, "finite number of at least 1"),
    "factor nan": ({"factor": float("nan")}, ArgumentError, "finite number"),
    "factor inf": ({"factor": float("inf")}, ArgumentError, "finite number"),
    "factor huge": ({"factor": 1e9}, ArgumentError, "too large: .* 300 pixels"),
    "factor tiny": (
        {"factor": 1.0000001, "max_side": 32},
        ArgumentError,
        "sizes .* do not change",
    ),
    "factor text": ({"factor": "two"}, ArgumentTypeError, "must be a number"),
    "factor tuple": ({"factor": (2, 2)}, ArgumentTypeError, "mapping of axis names"),
    "axis unknown": ({"factor": {"w": 2}}, ArgumentError, "names 'w'; the spatial"),
    "channel": ({"factor": {"soma_channel": 2}}, ArgumentError, "spatial axes of"),
    "one axis all 1": ({"factor": {"x": 1, "y": 1}}, ArgumentError, "larger than 1"),
    "no levels": ({"n_levels": 0}, ArgumentError, "n_levels must be between 1"),
    "too many": ({"n_levels": 40}, ArgumentError, "only 8 more can be made"),
    "half a level": ({"n_levels": 1.5}, ArgumentTypeError, "whole number"),
    "side 0": ({"max_side": 0}, ArgumentError, "max_side must be between 1"),
    "both kinds": ({"shapes": [], "factors": [2]}, ArgumentError, "only one of"),
    "shapes, factors": ({"shapes": [], "factors": []}, ArgumentError, "got both"),
    "shapes, factor": (
        {"shapes": [(3, 9, 9)], "factor": 2},
        ArgumentError,
        "only one of shapes and factor: .* without effect",
    ),
    "factors, between": (
        {"factors": [2], "between": True},
        ArgumentError,
        "only one of factors and between",
    ),
    "factors, n_levels": (
        {"factors": [2], "n_levels": 1, "max_side": 9},
        ArgumentError,
        "only one of factors and max_side and n_levels",
    ),
    "both": ({"max_side": 9, "n_levels": 2}, ArgumentError, "not both"),
    "shape twice": ({"shapes": [(3, 9, 9)] * 2}, ArgumentError, "same shape twice"),
    "shape short": ({"shapes": [(9, 9)]}, ArgumentError, r"2 sizes; expected 3"),
    "channels": ({"shapes": [(1, 9, 9)]}, ArgumentError, "1 channels; .* has 3"),
    "larger": ({"shapes": [(3, 900, 9)]}, ArgumentError, "larger along none"),
    "equal": ({"shapes": [(3, 300, 200)]}, ArgumentError, "does not make a coarser"),
    "size 0": ({"shapes": [(3, 0, 9)]}, ArgumentError, "between 1 and"),
    "no shapes": ({"shapes": []}, ArgumentError, "at least one level"),
    "shapes flat": ({"shapes": [3]}, ArgumentTypeError, "sequence of whole numbers"),
    "factors 1": ({"factors": [1]}, ArgumentError, "larger than 1"),
    "key taken": ({"n_levels": 1, "keys": ["level0"]}, LevelKeyError, "finest one"),
    "key bad": ({"n_levels": 1, "keys": ["a/b"]}, ArgumentError, "letters, digits"),
    "key reserved": ({"n_levels": 1, "keys": ["__g"]}, ArgumentError, "letters, digi"),
    "key long": ({"n_levels": 1, "keys": ["x" * 200]}, ArgumentError, "200 characters"),
    "keys few": ({"n_levels": 2, "keys": ["a"]}, ArgumentError, "2 keys are needed"),
    "keys equal": ({"n_levels": 2, "keys": ["a", "a"]}, ArgumentError, "of its own"),
    "keys text": ({"n_levels": 1, "keys": "a"}, ArgumentTypeError, "sequence"),
    "method": ({"method": "gauss"}, ArgumentError, "must be one of mean, stride"),
    "threads": ({"n_threads": 0}, ArgumentError, "n_threads must be between 1"),
}


@pytest.mark.parametrize(
    ("wish", "error", "message"), BAD_WISHES.values(), ids=BAD_WISHES
)
def test_bad_wishes_are_refused(make, wish, error, message):
    with pytest.raises(error, match=message):
        plan_levels(make((3, 300, 200)), **wish)


def test_no_axis_left_to_shrink(make):
    with pytest.raises(ArgumentError, match="no spatial axis is left to shrink"):
        plan_levels(make((3, 1, 1)))


def test_timestamps_are_refused(make):
    with pytest.raises(UnsupportedError, match="pixels are timestamps"):
        plan_levels(make((1, 90, 80), dtype="datetime64[ns]"))


def test_an_image_that_is_not_there(tmp_path):
    with pytest.raises(DoesNotExistError, match="Nothing is stored"):
        plan_levels(tmp_path / "nothing.soma")


def test_something_that_is_no_image():
    with pytest.raises(ArgumentTypeError, match="open MultiscaleImage or an address"):
        plan_levels(np.zeros((3, 9, 9)))
