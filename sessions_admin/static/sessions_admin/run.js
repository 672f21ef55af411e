// @ts-check
// Updates the page of a run in progress, and reloads it when the run has ended.

const INTERVAL = 1000; // ms

async function poll() {
  const progress = document.getElementById("progress");
  const url = progress?.dataset.url;
  if (!progress || !url) return;
  const schedule = () => window.setTimeout(poll, INTERVAL);
  if (document.hidden) {
    schedule();
    return;
  }
  let response;
  try {
    response = await fetch(url, { headers: { Accept: "text/html" }, redirect: "error" });
  } catch {
    // The server restarts, the network is down, or the login has expired.
    schedule();
    return;
  }
  if (!response.ok) {
    schedule();
    return;
  }
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const update = page.getElementById("progress");
  if (!update) return;
  if (!update.dataset.url) {
    // The run has ended: the reloaded page has complete tables, and no Stop button.
    window.location.reload();
    return;
  }
  if (update.innerHTML !== progress.innerHTML) progress.replaceWith(update);
  schedule();
}

window.setTimeout(poll, INTERVAL);
