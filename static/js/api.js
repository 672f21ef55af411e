// @ts-check
/** The HTTP API, with the login's cookie. */

const NO_CONNECTION = "That was not done: there is no connection.";
const FAILED = "That was not done: the server has a problem. Try again.";

/** A request that changed nothing; `message` is a sentence for people. */
export class Refused extends Error {
  /**
   * @param {string} message
   * @param {number} status   0 where there was no answer
   */
  constructor(message, status) {
    super(message);
    this.signedOut = status === 401;
    this.retryable = status === 0 || status >= 500;
  }
}

/**
 * Send a request that changes something. Throw Refused.
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @param {Record<string, string>} [headers]
 * @returns {Promise<{data: any, change: string | null}>}  `change` is the id by which a change of tasks can be undone
 */
export async function ask(method, path, body, headers = {}) {
  const token = /** @type {HTMLInputElement} */ (document.querySelector("[name=csrfmiddlewaretoken]")).value;
  const sent = { "x-csrftoken": token, ...(body && { "content-type": "application/json" }), ...headers };
  let answer, data;
  try {
    answer = await fetch(path, { method, headers: sent, body: body && JSON.stringify(body) });
    data = answer.status === 204 ? null : await answer.json();
  } catch {
    throw new Refused(answer ? FAILED : NO_CONNECTION, answer?.status ?? 0);
  }
  if (!answer.ok) throw new Refused(data?.error?.detail ?? FAILED, answer.status);
  return { data, change: answer.headers.get("task-change") };
}
