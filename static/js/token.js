// @ts-check
/** A button that copies the token that was just made. */

import { copyButton } from "./dom.js";

const key = document.querySelector("[data-testid=token-key]");
key?.after(copyButton(() => key.textContent ?? "", "Copy token"));
