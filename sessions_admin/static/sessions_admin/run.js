// @ts-check
// Keeps the page of a run that is under way up to date, and shows all of it anew once the run has ended.

const EVERY = 1000;

/** Ask how far the run is, and show it. */
async function look() {
  const shown = document.getElementById("progress");
  const url = shown?.dataset.url;
  if (!shown || !url) return;
  const wait = () => window.setTimeout(look, EVERY);
  if (document.hidden) {
    wait();
    return;
  }
  let answer;
  try {
    answer = await fetch(url, { headers: { Accept: "text/html" }, redirect: "error" });
  } catch {
    // The server is being started again, or the network is gone, or the login has ended: a later try tells.
    wait();
    return;
  }
  if (!answer.ok) {
    wait();
    return;
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const found = page.getElementById("progress");
  if (!found) return;
  if (!found.dataset.url) {
    // It has ended: its tables are complete, and nothing is left to stop.
    window.location.reload();
    return;
  }
  if (found.innerHTML !== shown.innerHTML) shown.replaceWith(found);
  wait();
}

window.setTimeout(look, EVERY);
