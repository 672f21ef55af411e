"""Run axe-core on a page."""

from functools import cache
from pathlib import Path

import axe_playwright_python
from playwright.sync_api import Page

RUN = """async (rules) => {
    // Elements that are still fading in do not have their final colours.
    const ends = (one) => Number.isFinite(one.effect.getComputedTiming().endTime);
    await Promise.all(document.getAnimations().filter(ends).map((one) => one.finished));
    const { violations } = await axe.run(document, { resultTypes: ["violations"], ...rules });
    const why = (node) => node.any.map((one) => one.message).join("; ").slice(0, 200);
    const describe = (id, node) => `${id}: ${node.target.join(" ")} | ${node.html.slice(0, 160)} | ${why(node)}`;
    return violations.flatMap(({ id, nodes }) => nodes.map((node) => describe(id, node)));
}"""


@cache
def _axe() -> str:
    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()


def violations(page: Page) -> list[str]:
    """Return the violations that axe-core finds in light and dark colours."""
    page.evaluate(_axe())
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    found = [f"light: {one}" for one in page.evaluate(RUN, {})]
    # Only the contrast depends on the colours.
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    found += [f"dark: {one}" for one in page.evaluate(RUN, {"runOnly": ["color-contrast"]})]
    return found
