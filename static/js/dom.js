// @ts-check
/** Helpers that make elements. Text is always inserted as text, never as HTML. */

/** @typedef {string | number | Node | null | undefined | false} Child */

/**
 * Make an element: `h("a", {class: "x", href: "/", onclick: f}, "text")`. Attributes that are null, undefined or false are omitted.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...Child} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...withoutEmpty(children));
  return element;
}

/**
 * @param {Child[]} children
 * @returns {(string | Node)[]}
 */
function withoutEmpty(children) {
  const kept = /** @type {(string | Node)[]} */ ([]);
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    kept.push(typeof child === "number" ? String(child) : child);
  }
  return kept;
}

const SPRITE = new URL("../img/icons.svg", import.meta.url).pathname;

/**
 * Make an icon from the sprite. It is hidden from screen readers, so a text or label must give its meaning.
 * @param {string} name
 * @returns {SVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `${SPRITE}#${name}`);
  svg.append(use);
  return svg;
}

/**
 * Return the element with an id; throw if there is none.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no #${id}`);
  return /** @type {T} */ (element);
}

/**
 * Replace the children of an element without moving those that are already in place.
 * @param {Element} parent
 * @param {Node[]} children
 */
export function setChildren(parent, children) {
  children.forEach((child, index) => {
    const current = parent.childNodes[index];
    if (current !== child) parent.insertBefore(child, current ?? null);
  });
  while (parent.childNodes.length > children.length) parent.lastChild?.remove();
}

/**
 * Make a button that copies a text to the clipboard and briefly shows the result.
 * @param {() => string} text
 * @param {string} label
 */
export function copyButton(text, label) {
  const button = h("button", { type: "button", class: "icon-button", "aria-label": label, title: label }, icon("copy"));
  button.addEventListener("click", async () => {
    const copied = await copy(text());
    button.replaceChildren(icon(copied ? "check" : "alert"));
    button.setAttribute("aria-label", copied ? "Copied" : "Copying failed");
    setTimeout(() => {
      button.replaceChildren(icon("copy"));
      button.setAttribute("aria-label", label);
    }, 1600);
  });
  return button;
}

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/**
 * Copy without the Clipboard API, which is missing over plain HTTP.
 * @param {string} text
 */
function copyBySelection(text) {
  const field = /** @type {HTMLTextAreaElement} */ (h("textarea", { class: "sr-only", readonly: true }));
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  field.value = text;
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return copied;
}
