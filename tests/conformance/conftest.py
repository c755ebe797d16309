from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.register_assert_rewrite(
    *(
        f"{__package__}.{name}"
        for name in ("store_suite", "suite_create", "suite_levels", "suite_mapping",
                     "suite_metadata", "suite_timestamps", "suite_regions", "suite_arrays")
    )
)

from .oracle import Oracle

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def oracle_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    oracle = Oracle(tmp_path_factory.mktemp("oracle") / "log.txt")
    yield oracle
    oracle.close()


@pytest.fixture
def oracle(oracle_process: Oracle) -> Iterator[Oracle]:
    yield oracle_process
    oracle_process.forget_all()
