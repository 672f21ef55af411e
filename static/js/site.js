// @ts-check
/** URLs of the site, which may be at a path of its host. */

const ROOT = (globalThis.document?.documentElement?.dataset.root ?? "/").replace(/\/$/, "");

/**
 * Return the path that the browser requests for a path of the site.
 * @param {string} path  begins with a slash
 */
export function url(path) {
  return ROOT + path;
}
