"""How the attacks are run: all of them by `-m attack`, the quick ones in the ordinary suite too."""

import pytest

# One after another in one process, for they share a product whose memory and answers they measure.
on_product = [pytest.mark.attack, pytest.mark.service, pytest.mark.xdist_group("attack")]
# Beside them, those that end or suspend parts of a product, or wait for long.
on_processes = [pytest.mark.attack, pytest.mark.service, pytest.mark.xdist_group("attack on processes")]
quick = pytest.mark.quick
