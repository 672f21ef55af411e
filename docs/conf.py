"""How Sphinx builds the documentation: plain Markdown, with every internal link and anchor checked.

uv run --group docs sphinx-build --fail-on-warning --nitpicky docs docs/_build
"""

import re
import tomllib
from pathlib import Path
from typing import Any

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]

project = "Threadkeeper"
version = release = PROJECT["version"]
html_title = f"Threadkeeper {version}"
extensions = ["myst_parser"]
root_doc = "README"
exclude_patterns = ["_build", "_templates", "examples"]
templates_path = ["_templates"]
myst_heading_anchors = 4
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["docs.css"]
# GitHub shows README.md for a folder, a web server index.html.
html_additional_pages = {"index": "redirect.html"}
html_copy_source = False
highlight_language = "none"
smartquotes = False  # they change --options in sentences
html_show_copyright = False
html_logo = html_favicon = "../static/img/favicon.svg"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#17594a", "color-brand-content": "#17594a"},
    "dark_css_variables": {"color-brand-primary": "#7fcfb4", "color-brand-content": "#7fcfb4"},
}
html_use_index = False


def add_contents(app: Any, name: str, source: list[str]) -> None:
    """Make the sidebar of the links in README.md, so that GitHub shows links and no directives.

    A page that README.md does not link is in no table of contents, which fails the build.
    """
    if name != root_doc:
        return
    for section in re.split(r"^## ", source[0], flags=re.M)[1:]:
        caption = section.partition("\n")[0]
        pages = "\n".join(re.findall(r"\]\(([\w/-]+)\.md\)", section))
        source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{pages}\n```\n"


def setup(app: Any) -> None:
    """Connect the hook."""
    app.connect("source-read", add_contents)
