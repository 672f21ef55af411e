"""Tests have a data folder of their own."""

import os

from django.conf import settings


def test_tests_do_not_use_the_developers_data_folder() -> None:
    assert settings.DATA_DIR != settings.BASE_DIR / "data"
    assert str(settings.DATA_DIR) == os.environ["DATA_DIR"]
