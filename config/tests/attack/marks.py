"""Where the attacks run. `-m attack` plays all but the long ones, the ordinary suite the quick ones."""

import pytest

# One after another in one process, for they share a product whose memory and answers they measure.
on_product = [pytest.mark.service, pytest.mark.xdist_group("attack")]
# Beside them, those that end or suspend parts of a product, or wait for long.
on_processes = [pytest.mark.service, pytest.mark.xdist_group("attack on processes")]
quick = pytest.mark.quick
