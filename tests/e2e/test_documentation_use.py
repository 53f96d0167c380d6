"""The examples of the pages in the section Use of the documentation."""

from collections.abc import Callable

import pytest

from support.pages import Block, examples
from support.reader import Reader


@pytest.mark.parametrize(("path", "block"), examples("Use"))
def test_the_examples_in_the_order_of_the_page(reading: Callable[[str], Reader], path: str, block: Block) -> None:
    reading(path).read(block)
