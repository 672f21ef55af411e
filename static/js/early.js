// @ts-check
// Not a module: it runs before the first paint, so that the page never shows what is meant for readers without scripts.
document.documentElement.classList.add("js");
