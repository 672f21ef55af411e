"""Long tasks, frame times and key latency of a browser while a long reply streams.

    uv run python -m benchmarks.page [--chats 200] [--tokens 20000] [--already 0] [--shape mixed]

Starts a PostgreSQL, a server and Chromium. The page is the real one; a fake socket inside it delivers a token every 5
ms, however busy the machine is, while a user types. With `--already`, that many tokens arrive at once before the rest
streams. The CPU time of tasks comes from a trace and does not depend on other load. Prints a table;
docs/explanation/benchmarks-of-turns.md has a selection.
"""

import argparse
import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.place import isolated_environment, set_up

EMAIL = "reader@example.com"
RATE = 200  # tokens a second
LONG = 50  # milliseconds of a task
TYPE_EVERY = 0.25  # seconds

# The fake socket inside the page.
SOCKET = """
window.longTasks = []; window.frames_ = []; window.keys = [];
new PerformanceObserver((list) => longTasks.push(...list.getEntries().map((e) => [e.startTime, e.duration])))
  .observe({type: "longtask"});
window.WebSocket = class extends EventTarget {
  static OPEN = 1;
  constructor() {
    super();
    this.readyState = 1;
    window.socket = this;
    setTimeout(() => this.push({type: "ready", protocol: 1, conversation: null, turns: []}));
  }
  push(frame) { this.dispatchEvent(new MessageEvent("message", {data: JSON.stringify(frame)})); }
  close() {}
  send(text) {
    const frame = JSON.parse(text);
    if (frame.type !== "message.send") return;
    const message = {id: crypto.randomUUID(), role: "user", text: frame.text, created_at: new Date().toISOString(),
      position: 1, turn_id: "t"};
    const turn = {id: "t", status: "running", ahead: 0, replaces: null};
    this.push({type: "message.accepted", client_id: frame.client_id, message, turn});
  }
};
window.stream = (tokens, rate, skip) => new Promise((done) => {
  let sent = skip, at = tokens.slice(0, skip).join("").length, last = performance.now();
  const begun = last;
  const frame = (now) => {
    frames_.push(now - last);
    last = now;
    if (sent < tokens.length) requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  const field = document.querySelector("#composer-text");
  field.addEventListener("input", (event) =>
    requestAnimationFrame(() => setTimeout(() => keys.push(performance.now() - event.timeStamp))));
  const channel = new MessageChannel();
  const step = () => {
    const due = Math.min(tokens.length, skip + Math.floor((performance.now() - begun) / 1000 * rate));
    if (sent < due) {
      const text = tokens[sent++];
      socket.push({type: "text.delta", turn_id: "t", attempt: 1, n: sent + 1, text, at});
      at += text.length;
    }
    if (sent === tokens.length) {
      const created_at = new Date().toISOString();
      const message = {id: "r", role: "assistant", text: tokens.join(""), created_at, position: 2, turn_id: "t"};
      setTimeout(() => socket.push({type: "turn.finished", turn_id: "t", attempt: 1, n: sent + 2, message, usage: {}}));
      setTimeout(() => done({longTasks, frames: frames_, keys, seconds: (performance.now() - begun) / 1000}), 1500);
    } else if (sent < due) channel.port2.postMessage(0);
    else setTimeout(step, 1);
  };
  channel.port1.onmessage = step;
  step();
});
"""


def tokens(shape: str, count: int) -> list[str]:
    """Return the pieces of a reply: about five characters each."""
    words = [f"word{n % 97} " for n in range(count)]
    match shape:
        case "paragraph":
            return words
        case "code":
            return ["```python\n", *(word + "\n" * (n % 12 == 11) for n, word in enumerate(words)), "\n```"]
        case "list":
            return [("\n- " if n % 12 == 0 else "") + word for n, word in enumerate(words)]
        case "table":
            rows = [("|\n| " if n % 12 == 0 else "| " if n % 6 == 0 else "") + word for n, word in enumerate(words)]
            return ["| a | b |\n|---|---", *rows, "|\n"]
    blocks = ["\n\n", "\n\n## Part\n\n", "\n\n- ", "\n- ", "\n- **bold** ", "\n\n```python\n", "\n```\n\n"]
    return [(blocks[n // 40 % len(blocks)] if n % 40 == 0 else "") + word for n, word in enumerate(words)]


@dataclass(frozen=True)
class BrowserMetrics:
    """The measurements of the browser, in milliseconds."""

    long_tasks: list[float]
    frames: list[float]
    keys: list[float]
    seconds: float
    cpu: list[float]  # of each task

    def line(self, name: str) -> str:
        """Return the row of the table."""
        longest = max(self.long_tasks, default=0)
        return (
            f"| {name} | {self.seconds:.0f} s | {len(self.long_tasks)} | {longest:.0f} | {_at(self.frames, 0.95):.0f} |"
            f" {_at(self.keys, 0.5):.0f} | {_at(self.keys, 0.95):.0f} | {max(self.keys, default=0):.0f} |"
            f" {sum(task > LONG for task in self.cpu)} | {max(self.cpu, default=0):.0f} |"
        )


def _at(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0


def create_chats(chats: int) -> None:
    """Create a user with this many chats."""
    from django.contrib.auth.hashers import make_password
    from django.utils import timezone

    from chat.models import Conversation, User

    user = User(email=EMAIL, password=make_password("a good passphrase"))
    user.save()
    Conversation.objects.bulk_create(
        [Conversation(user=user, title=f"Chat {n}", updated_at=timezone.now()) for n in range(chats)]
    )


async def measure_reply(url: str, cookie: dict[str, Any], pieces: list[str], skip: int) -> BrowserMetrics:
    """Open the page in a browser, and type while the reply streams."""
    from playwright.async_api import async_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        context = await browser.new_context(viewport={"width": 1280, "height": 800})
        await context.add_cookies([cookie])  # type: ignore[list-item]
        page = await context.new_page()
        await page.add_init_script(SOCKET)
        await page.goto(url)
        await _load_all_chats(page)
        await page.get_by_test_id("composer").fill("Tell me all of it")
        await page.get_by_test_id("composer").press("Enter")
        if already := "".join(pieces[:skip]):
            await page.evaluate(
                "(t) => socket.push({type: 'text.delta', turn_id: 't', attempt: 1, n: 1, text: t, at: 0})", already
            )
            await asyncio.sleep(4)
        await browser.start_tracing(page=page, categories=["toplevel"])
        await page.evaluate("longTasks.length = 0")
        streaming = asyncio.create_task(page.evaluate(f"stream({json.dumps(pieces)}, {RATE}, {skip})"))
        while not streaming.done():
            await page.keyboard.type("k")
            await asyncio.sleep(TYPE_EVERY)
        metrics = streaming.result()
        trace = json.loads(await browser.stop_tracing())
        await browser.close()
    long_tasks = [task[1] for task in metrics["longTasks"]]
    return BrowserMetrics(
        long_tasks, metrics["frames"], metrics["keys"], metrics["seconds"], list(_tasks(trace["traceEvents"]))
    )


def _tasks(events: list[dict[str, Any]]) -> Iterator[float]:
    """Yield the CPU time of each task of the renderer's main threads."""
    threads = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    for event in events:
        if event["name"].endswith("RunTask") and (event["pid"], event["tid"]) in threads:
            yield event.get("tdur", 0) / 1000


async def _load_all_chats(page: Any) -> None:
    more = page.locator("#more-chats a:visible")
    while await more.count():
        before = await page.get_by_test_id("conversation-link").count()
        await more.click()
        await page.wait_for_function(
            "(before) => document.querySelectorAll('[data-testid=conversation-link]').length > before", arg=before
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--chats", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--already", type=int, default=0)
    parser.add_argument("--shape", action="append")
    options = parser.parse_args()
    with isolated_environment() as folder:
        set_up()
        create_chats(options.chats)
        _measure(folder, options)


def _measure(folder: Path, options: argparse.Namespace) -> None:
    import os

    from config.tests.support import LiveDatabase, ServerProcess

    database = LiveDatabase(os.environ["DATABASE_URL"])
    columns = ["reply", "took", "long tasks", "longest", "frame p95", "key p50", "key p95", "key most"]
    columns += ["over 50 ms of CPU", "most CPU"]
    print(f"| {' | '.join(columns)} |\n" + "|---" * len(columns) + "|")
    with ServerProcess(database, folder) as server:
        browser = server.client(EMAIL, "a good passphrase")
        cookie = {"name": "sessionid", "value": browser.cookies["sessionid"], "url": server.url}
        for shape in options.shape or ["mixed", "paragraph", "code", "list", "table"]:
            metrics = asyncio.run(measure_reply(server.url, cookie, tokens(shape, options.tokens), options.already))
            print(metrics.line(shape), flush=True)
            time.sleep(0.1)


if __name__ == "__main__":
    main()
