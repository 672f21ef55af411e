"""The pure functions of the page's scripts, run by Node.js, and the rules for script files."""

import shutil
import subprocess
from pathlib import Path

import pytest
from django.conf import settings

TESTS = Path(__file__).parent / "js"


@pytest.mark.parametrize("path", sorted(TESTS.glob("*.test.mjs")), ids=lambda path: path.stem)
def test_script_tests_pass(path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed; the browser tests run anyway")
    process = subprocess.run([node, str(path)], capture_output=True, text=True, check=False, timeout=120)
    assert process.returncode == 0, process.stdout + process.stderr


def test_vendored_libraries_have_a_licence_and_a_version() -> None:
    folder = Path(settings.BASE_DIR) / "static" / "vendor"
    readme = (folder / "README.md").read_text()
    for library in (path for path in folder.iterdir() if path.is_dir()):
        assert (library / "LICENSE").read_text()
        assert f"`{library.name}/`" in readme


def test_scripts_enable_type_checks() -> None:
    for path in (Path(settings.BASE_DIR) / "static" / "js").glob("*.js"):
        assert path.read_text().startswith("// @ts-check"), path.name
