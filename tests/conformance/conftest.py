from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .oracle import Oracle

if TYPE_CHECKING:
    from collections.abc import Iterator

# The asserts of the suites explain themselves like those of test modules.
pytest.register_assert_rewrite(
    *(
        f"{__package__}.{path.stem}"
        for pattern in ("suite_*.py", "improved_*.py", "store_suite.py")
        for path in sorted(Path(__file__).parent.glob(pattern))
    )
)


@pytest.fixture(scope="session")
def oracle_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    oracle = Oracle(tmp_path_factory.mktemp("oracle") / "log.txt")
    yield oracle
    oracle.close()


@pytest.fixture
def oracle(oracle_process: Oracle) -> Iterator[Oracle]:
    yield oracle_process
    oracle_process.forget_all()
