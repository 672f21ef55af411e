// @ts-check
/** Requests to the HTTP API with the session cookie. */

const NO_CONNECTION = "That was not done: there is no connection.";
const SERVER_ERROR = "That was not done: the server has a problem. Try again.";

/** A failed request; `message` is a sentence for the user. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} status   0 without a response
   */
  constructor(message, status) {
    super(message);
    this.signedOut = status === 401;
    this.retryable = status === 0 || status >= 500;
  }
}

/**
 * Send a request that changes data. Throw ApiError.
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @param {Record<string, string>} [headers]
 * @returns {Promise<{data: any, change: string | null}>}  `change` is the id for undoing a change of tasks
 */
export async function request(method, path, body, headers = {}) {
  const token = /** @type {HTMLInputElement} */ (document.querySelector("[name=csrfmiddlewaretoken]")).value;
  const allHeaders = { "x-csrftoken": token, ...(body && { "content-type": "application/json" }), ...headers };
  let response, data;
  try {
    response = await fetch(path, { method, headers: allHeaders, body: body && JSON.stringify(body) });
    data = response.status === 204 ? null : await response.json();
  } catch {
    throw new ApiError(response ? SERVER_ERROR : NO_CONNECTION, response?.status ?? 0);
  }
  if (!response.ok) throw new ApiError(data?.error?.detail ?? SERVER_ERROR, response.status);
  return { data, change: response.headers.get("task-change") };
}
