"""The notebooks as tests: their outputs were made without a bar of progress, which a slow machine would show."""

import os

import pytest

# For their kernels; the tests in `tests/` take it out of their own surroundings.
os.environ["TQDM_DELAY"] = "3600"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Each starts a kernel, and its cells need those before them."""
    item.add_marker("slow")
