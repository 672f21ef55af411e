// @ts-check
/** Tell the server the browser's time zone, so that "tomorrow" means the person's own. */

const field = document.querySelector('input[name="time_zone"]');
if (field instanceof HTMLInputElement) field.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
