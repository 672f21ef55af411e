// @ts-check
/** Fill in the browser's time zone and first day of the week, which the meaning of "tomorrow" and "this week" depends on. */

/** @type {any} some browsers do not provide the week's first day */
const locale = new Intl.Locale(navigator.language);
const week = locale.getWeekInfo?.() ?? locale.weekInfo;
const fields = { time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone ?? "", week_start: String(week?.firstDay ?? "") };
for (const [name, value] of Object.entries(fields)) {
  const field = document.querySelector(`input[name="${name}"]`);
  if (field instanceof HTMLInputElement) field.value = value;
}
