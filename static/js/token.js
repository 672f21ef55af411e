// @ts-check
/** A button that copies the new token. */

import { copyButton } from "./dom.js";

const key = document.querySelector("[data-testid=token-key]");
key?.after(copyButton(() => key.textContent ?? "", "Copy token"));
