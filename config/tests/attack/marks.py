"""Marks of the attacks; `-m attack` runs them."""

import pytest


def _group(name: str) -> list[pytest.MarkDecorator]:
    """Run tests one after another in one process: they share a product whose memory and latency they measure."""
    return [pytest.mark.service, pytest.mark.xdist_group(name)]


product_group = _group("attack")
load_group = _group("attack with much")
connection_group = _group("attack on connections")
