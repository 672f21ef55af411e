// @ts-check
/** Dates and times in words, in the user's time zone. */

const LANGUAGE = globalThis.navigator?.language ?? "";
const LOCALE = LANGUAGE.startsWith("en") ? LANGUAGE : "en-GB";
const DAY = 86_400_000;

// Creating a formatter is slow, so each is created once.
/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/**
 * @param {string} locale
 * @param {Intl.DateTimeFormatOptions} options
 */
function formatter(locale, options) {
  const key = locale + JSON.stringify(options);
  let format = formats.get(key);
  if (format === undefined) formats.set(key, (format = new Intl.DateTimeFormat(locale, options)));
  return format;
}

/**
 * Return the local time of an instant in a time zone, as "2026-03-13T17:00".
 * @param {Date} instant
 * @param {string} zone
 */
export function wallClock(instant, zone) {
  const format = formatter("en-CA", {
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
 * Return the name of a day relative to today.
 * @param {string} day    begins with "2026-03-13"
 * @param {string} today
 */
function dayName(day, today) {
  const days = daysBetween(today, day);
  if (days === 0) return "Today";
  if (days === 1) return "Tomorrow";
  if (days === -1) return "Yesterday";
  const date = new Date(`${day.slice(0, 10)}T00:00Z`);
  if (days > 1 && days < 7) return formatter(LOCALE, { weekday: "long", timeZone: "UTC" }).format(date);
  const year = day.slice(0, 4) === today.slice(0, 4) ? undefined : /** @type {const} */ ("numeric");
  return formatter(LOCALE, { weekday: "short", day: "numeric", month: "short", year, timeZone: "UTC" }).format(date);
}

/**
 * Return the text of a due date.
 * @param {string} due    "2026-03-13" or "2026-03-13T17:00"
 * @param {string} now    the user's local time
 */
export function dueLabel(due, now) {
  const day = dayName(due, now);
  if (due.length === 10) return day;
  const hour = formatter(LOCALE, { hour: "numeric", minute: "2-digit", timeZone: "UTC" }).format(new Date(`${due}Z`));
  return `${day}, ${hour}`;
}

/**
 * Return whether a due date is over.
 * @param {string | null} due
 * @param {string} now
 */
export function isOverdue(due, now) {
  if (due === null) return false;
  return due.length === 10 ? due < now.slice(0, 10) : due < now;
}

/**
 * Return the time of a message, with its day unless that is today.
 * @param {string} at   an instant
 * @param {Date} now
 * @param {string} zone
 */
export function messageTime(at, now, zone) {
  const instant = new Date(at);
  const hour = formatter(LOCALE, { hour: "numeric", minute: "2-digit", timeZone: zone }).format(instant);
  const day = dayName(wallClock(instant, zone), wallClock(now, zone));
  return day === "Today" ? hour : `${day}, ${hour}`;
}

/**
 * Return the day of an instant without its year.
 * @param {string} at   an instant
 * @param {string} zone
 */
export function dayAndMonth(at, zone) {
  return formatter(LOCALE, { day: "numeric", month: "long", timeZone: zone }).format(new Date(at));
}

/**
 * Return in a few characters how long ago an instant was.
 * @param {string} at
 * @param {Date} now
 * @param {string} zone
 */
export function relativeTime(at, now, zone) {
  const instant = new Date(at);
  const minutes = Math.floor((now.getTime() - instant.getTime()) / 60_000);
  if (minutes < 1) return "now";
  if (minutes < 60) return `${minutes} min`;
  const days = daysBetween(wallClock(instant, zone), wallClock(now, zone));
  if (days === 0) return `${Math.floor(minutes / 60)} h`;
  if (days === 1) return "Yesterday";
  if (days < 7) return formatter(LOCALE, { weekday: "short", timeZone: zone }).format(instant);
  return formatter(LOCALE, { day: "numeric", month: "short", timeZone: zone }).format(instant);
}

/**
 * Return the full date and time of an instant.
 * @param {string} at   an instant
 * @param {string} zone
 */
export const fullTime = (at, zone) => formatter(LOCALE, { timeZone: zone, dateStyle: "full", timeStyle: "short" }).format(new Date(at));
