// @ts-check
/** Give the labelled icons in Django's permission lists a role. */

addEventListener("load", () => {
  for (const icon of document.querySelectorAll(".help-tooltip[aria-label]")) icon.setAttribute("role", "img");
});
