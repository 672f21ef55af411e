// @ts-check
/** Times as people say them, on the person's own clock. */

const LANGUAGE = globalThis.navigator?.language ?? "";
const LOCALE = LANGUAGE.startsWith("en") ? LANGUAGE : "en-GB";
const DAY = 86_400_000;

/**
 * Give the clock of a time zone at an instant as "2026-03-13T17:00".
 * @param {Date} instant
 * @param {string} zone
 */
export function wallClock(instant, zone) {
  const format = new Intl.DateTimeFormat("en-CA", {
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
  if (away > 1 && away < 7) return date.toLocaleDateString(LOCALE, { weekday: "long", timeZone: "UTC" });
  const year = day.slice(0, 4) === today.slice(0, 4) ? undefined : /** @type {const} */ ("numeric");
  return date.toLocaleDateString(LOCALE, { weekday: "short", day: "numeric", month: "short", year, timeZone: "UTC" });
}

/**
 * Say when something is due.
 * @param {string} due    "2026-03-13" or "2026-03-13T17:00"
 * @param {string} now    the person's clock
 */
export function dueLabel(due, now) {
  const day = dayName(due, now);
  if (due.length === 10) return day;
  const hour = new Date(`${due}Z`).toLocaleTimeString(LOCALE, { hour: "numeric", minute: "2-digit", timeZone: "UTC" });
  return `${day}, ${hour}`;
}

/**
 * Tell whether it should have been done by now.
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
  const hour = instant.toLocaleTimeString(LOCALE, { hour: "numeric", minute: "2-digit", timeZone: zone });
  const day = dayName(wallClock(instant, zone), wallClock(now, zone));
  return day === "Today" ? hour : `${day}, ${hour}`;
}

/**
 * Name a day without its year.
 * @param {string} at   an instant
 * @param {string} zone
 */
export function onDay(at, zone) {
  return new Date(at).toLocaleDateString(LOCALE, { day: "numeric", month: "long", timeZone: zone });
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
  if (away < 7) return instant.toLocaleDateString(LOCALE, { weekday: "short", timeZone: zone });
  return instant.toLocaleDateString(LOCALE, { day: "numeric", month: "short", timeZone: zone });
}
