// @ts-check
// A classic script: it runs before the first paint, so that content for browsers without scripts never appears.
document.documentElement.classList.add("js");
