// @ts-check
/** Times as people say them, on the person's own clock. */

const LANGUAGE = globalThis.navigator?.language ?? "";
const LOCALE = LANGUAGE.startsWith("en") ? LANGUAGE : "en-GB";
const DAY = 86_400_000;

// Making a formatter costs more than the rest of a frame: each is made once.
/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/**
 * @param {string} locale
 * @param {Intl.DateTimeFormatOptions} options
 */
function formatOf(locale, options) {
  const key = locale + JSON.stringify(options);
  let format = formats.get(key);
  if (format === undefined) formats.set(key, (format = new Intl.DateTimeFormat(locale, options)));
  return format;
}

/**
 * Give the clock of a time zone at an instant as "2026-03-13T17:00".
 * @param {Date} instant
 * @param {string} zone
 */
export function wallClock(instant, zone) {
  const format = formatOf("en-CA", {
    timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
  });
  const parts = Object.fromEntries(format.formatToParts(instant).map(({ type, value }) => [type, value]));
  return `${parts.year}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}`;
}

/**
 * Count the days from one date to another.
 * @param {string} from  begins with "2026-03-13"
 * @param {string} to
 */
function daysBetween(from, to) {
  return Math.round((Date.parse(`${to.slice(0, 10)}T00:00Z`) - Date.parse(`${from.slice(0, 10)}T00:00Z`)) / DAY);
}

/**
 * Name a day, seen from another.
 * @param {string} day    begins with "2026-03-13"
 * @param {string} today
 */
function dayName(day, today) {
  const away = daysBetween(today, day);
  if (away === 0) return "Today";
  if (away === 1) return "Tomorrow";
  if (away === -1) return "Yesterday";
  const date = new Date(`${day.slice(0, 10)}T00:00Z`);
  if (away > 1 && away < 7) return formatOf(LOCALE, { weekday: "long", timeZone: "UTC" }).format(date);
  const year = day.slice(0, 4) === today.slice(0, 4) ? undefined : /** @type {const} */ ("numeric");
  return formatOf(LOCALE, { weekday: "short", day: "numeric", month: "short", year, timeZone: "UTC" }).format(date);
}

/**
 * Say when something is due.
 * @param {string} due    "2026-03-13" or "2026-03-13T17:00"
 * @param {string} now    the person's clock
 */
export function dueLabel(due, now) {
  const day = dayName(due, now);
  if (due.length === 10) return day;
  const hour = formatOf(LOCALE, { hour: "numeric", minute: "2-digit", timeZone: "UTC" }).format(new Date(`${due}Z`));
  return `${day}, ${hour}`;
}

/**
 * Return whether it should have been done by now.
 * @param {string | null} due
 * @param {string} now
 */
export function isOverdue(due, now) {
  if (due === null) return false;
  return due.length === 10 ? due < now.slice(0, 10) : due < now;
}

/**
 * Say when something was said: the hour of a day, with the day once it is another.
 * @param {string} at   an instant
 * @param {Date} now
 * @param {string} zone
 */
export function saidAt(at, now, zone) {
  const instant = new Date(at);
  const hour = formatOf(LOCALE, { hour: "numeric", minute: "2-digit", timeZone: zone }).format(instant);
  const day = dayName(wallClock(instant, zone), wallClock(now, zone));
  return day === "Today" ? hour : `${day}, ${hour}`;
}

/**
 * Name a day without its year.
 * @param {string} at   an instant
 * @param {string} zone
 */
export function onDay(at, zone) {
  return formatOf(LOCALE, { day: "numeric", month: "long", timeZone: zone }).format(new Date(at));
}

/**
 * Say briefly how long ago something was.
 * @param {string} at
 * @param {Date} now
 * @param {string} zone
 */
export function ago(at, now, zone) {
  const instant = new Date(at);
  const minutes = Math.floor((now.getTime() - instant.getTime()) / 60_000);
  if (minutes < 1) return "now";
  if (minutes < 60) return `${minutes} min`;
  const away = daysBetween(wallClock(instant, zone), wallClock(now, zone));
  if (away === 0) return `${Math.floor(minutes / 60)} h`;
  if (away === 1) return "Yesterday";
  if (away < 7) return formatOf(LOCALE, { weekday: "short", timeZone: zone }).format(instant);
  return formatOf(LOCALE, { day: "numeric", month: "short", timeZone: zone }).format(instant);
}

/**
 * Say at length when something was said.
 * @param {string} at   an instant
 * @param {string} zone
 */
export const saidInFull = (at, zone) => formatOf(LOCALE, { timeZone: zone, dateStyle: "full", timeStyle: "short" }).format(new Date(at));
