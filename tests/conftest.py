"""Fixtures that all tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import threadpoolctl
import torch

from tests.postgres import postgres as postgres
from tests.postgres import postgres_url as postgres_url

if not torch.cuda.is_available():
    # Before Triton's kernels are imported: they run as Python then.
    os.environ.setdefault("TRITON_INTERPRET", "1")

# It needs pyroVED, which the tests do not.
collect_ignore = ["stages/vae/reference/make_pyroved_reference.py"]

_REAL_DATA = Path(__file__).parents[2] / "shared" / "data" / "real"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a GPU are skipped where there is none."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="there is no GPU"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny arrays only lose time to several threads, most of all beside other programs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpoolctl.threadpool_limits(limits=1):
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with measured scans; a test that asks for it is skipped where there is none."""
    if not _REAL_DATA.is_dir():
        pytest.skip("no real scans beside the project (shared/data/real)")
    return _REAL_DATA
