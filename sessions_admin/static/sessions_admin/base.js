// @ts-check
/** Django's lists of permissions put a label on an icon that has no role. */

addEventListener("load", () => {
  for (const icon of document.querySelectorAll(".help-tooltip[aria-label]")) icon.setAttribute("role", "img");
});
