"""Tests have a data folder of their own."""

import os

from django.conf import settings


def test_the_data_folder_is_not_the_developers() -> None:
    assert settings.DATA_DIR != settings.BASE_DIR / "data"
    assert str(settings.DATA_DIR) == os.environ["DATA_DIR"]
