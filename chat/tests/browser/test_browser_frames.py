"""How the page handles frames that a server seldom sends: the browser is real, the server is a fake."""

import json
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from chat.tests.browser.conftest import expect_state
from chat.tests.browser.fake_server import NOW, FakeServer
from config.tests.support import eventually

ATTACKS = (
    "<img src=x onerror=alert(1)> <script>alert(2)</script> [link](javascript:alert(3)) ![p](https://evil.example/x.png)"
    " <svg onload=alert(4)> <a href='javascript:alert(5)'>five</a> <iframe src='https://evil.example'></iframe>"
    " <style>body{display:none}</style> <form action=//evil.example><input name=x></form> [ok](https://example.com)"
)


def reply(page: Page) -> Any:
    return page.locator('[data-testid="message"][data-role="assistant"]').last


def test_reply_streams_as_markdown_and_is_highlighted_at_the_end(fake_server: FakeServer) -> None:
    turn = fake_server.accept(fake_server.send_message("show me"))
    fake_server.send_turn_event(turn, "turn.started")
    expect(fake_server.page.get_by_test_id("thinking")).to_be_visible()
    text = "Some **bold** 🎉 words\n\n```python\nx = 'one'\n```"
    fake_server.send_delta(turn, text[:13])
    expect(reply(fake_server.page)).to_contain_text("Some bold")
    expect(fake_server.page.get_by_test_id("thinking")).to_be_hidden()
    fake_server.send_delta(turn, text[13:], at=13)
    expect(reply(fake_server.page).locator("strong")).to_have_text("bold")
    expect(reply(fake_server.page).locator("pre code")).to_contain_text("x = 'one'")
    expect(reply(fake_server.page).locator(".hljs-string")).to_have_count(0)
    fake_server.finish(turn, text)
    expect(reply(fake_server.page).locator(".hljs-string")).to_have_text("'one'")


def test_reasoning_is_collapsed_above_the_reply(fake_server: FakeServer) -> None:
    turn = fake_server.accept(fake_server.send_message("hello"))
    fake_server.send_turn_event(turn, "reasoning.delta", text="🧵 Hm, ", at=0)
    fake_server.send_turn_event(turn, "reasoning.delta", text=ATTACKS, at=6)
    reasoning_block = fake_server.page.get_by_test_id("reasoning")
    expect(reasoning_block.locator("summary")).to_have_text("Thinking")
    expect(reasoning_block.locator("div")).to_be_hidden()
    reasoning_block.locator("summary").click()
    expect(reasoning_block.locator("div")).to_have_text("🧵 Hm, " + ATTACKS)

    fake_server.send_turn_event(turn, "turn.resumed", text="", tools=[], at=0, reasoning="Yes.")
    expect(reasoning_block.locator("div")).to_have_text("Yes.")
    fake_server.send_delta(turn, "Hello.")
    fake_server.finish(turn, "Hello.")
    expect(reply(fake_server.page)).to_contain_text("Hello.")
    expect(reply(fake_server.page)).not_to_contain_text("Yes.")
    expect(reasoning_block.locator("div")).to_be_visible()


def test_streamed_and_stored_text_never_becomes_markup(fake_server: FakeServer) -> None:
    page = fake_server.page
    turn = fake_server.accept(fake_server.send_message(ATTACKS))
    fake_server.send_turn_event(turn, "tool.started", call_id="c1", name="create_task", arguments={"title": ATTACKS})
    output = json.dumps({"ok": True, "task": {"number": 1, "title": ATTACKS}})
    fake_server.send_turn_event(turn, "tool.finished", call_id="c1", output=output)
    fake_server.send_delta(turn, ATTACKS)
    task = {
        "task_id": "1", "number": 1, "title": ATTACKS, "description": ATTACKS, "due": None, "priority": "normal",
        "is_completed": False, "created_at": NOW, "updated_at": NOW, "completed_at": None,
    }  # fmt: skip
    fake_server.change_tasks([task])
    conversation = {"id": str(uuid.uuid4()), "title": ATTACKS, "created_at": NOW, "updated_at": NOW}
    fake_server.send({"type": "conversation.updated", "conversation": conversation})
    fake_server.send_turn_event(turn, "warning", code="context_unavailable", detail=ATTACKS)
    fake_server.finish(turn, ATTACKS)
    expect(reply(page)).to_contain_text("<script>alert(2)</script>")
    assert (
        page.locator(
            "#chat :is(iframe, form:not(#composer), style, script), #transcript img, #transcript input"
        ).count()
        == 0
    )
    assert page.locator("[onerror], [onload]").count() == 0
    links = page.locator("#transcript a[href]").all()
    assert {link.get_attribute("href") for link in links} == {"https://evil.example/x.png", "https://example.com"}
    for link in links:
        assert "noopener" in (link.get_attribute("rel") or "")
    expect(page.locator(".task__title")).to_contain_text("<svg onload=alert(4)>")


def test_offsets_snapshots_and_resumed_attempts_produce_the_right_text(fake_server: FakeServer) -> None:
    turn = fake_server.accept(fake_server.send_message("hello"))
    fake_server.send_delta(turn, "🧵🧵 one two")
    fake_server.send_delta(turn, "three", at=3)
    expect(reply(fake_server.page)).to_contain_text("🧵🧵 three")
    fake_server.send_turn_event(turn, "turn.snapshot", status="running", text="anew", tools=[])
    expect(reply(fake_server.page)).to_contain_text("anew")
    fake_server.n[turn] = 0
    fake_server.send_turn_event(turn, "turn.resumed", attempt=2, text="anew and", tools=[], at=4)
    fake_server.send_turn_event(turn, "text.delta", attempt=2, text=" again", at=4)
    expect(reply(fake_server.page)).to_contain_text("anew again")


def test_received_frames_are_acknowledged_and_running_turn_can_be_stopped(fake_server: FakeServer) -> None:
    expect(fake_server.page.get_by_test_id("stop")).to_be_hidden()
    turn = fake_server.accept(fake_server.send_message("hello"))
    at = 0
    for part in ("The", " first", " half"):
        fake_server.send_delta(turn, part, at)
        at += len(part)
    eventually(
        lambda: any(frame["n"] == 3 and frame["turn_id"] == turn for frame in fake_server.frames_of_type("log.ack")),
        within=5,
    )
    fake_server.page.get_by_test_id("stop").click()
    assert fake_server.wait_for("turn.stop")["turn_id"] == turn
    fake_server.send_turn_event(
        turn, "turn.stopped", message=fake_server.message("assistant", "The first half", turn, 2)
    )
    expect(fake_server.page.get_by_test_id("stopped")).to_be_visible()
    expect(fake_server.page.get_by_test_id("stop")).to_be_hidden()
    expect(reply(fake_server.page)).to_contain_text("The first half")


def test_failed_turn_shows_its_error_and_can_be_retried(fake_server: FakeServer) -> None:
    turn = fake_server.accept(fake_server.send_message("hello"))
    fake_server.send_turn_event(turn, "turn.failed", code="model", detail="The model did not answer.", retryable=True)
    expect(fake_server.page.get_by_test_id("failed")).to_contain_text("The model did not answer.")
    fake_server.page.get_by_test_id("retry").click()
    frame = fake_server.wait_for("turn.retry")
    assert frame["turn_id"] == turn
    expect(fake_server.page.get_by_test_id("retry")).to_be_disabled()
    message = fake_server.message("user", "hello", turn, 1)
    new_turn = str(uuid.uuid4())
    accepted = {"client_id": frame["client_id"], "message": message}
    fake_server.add_turn(new_turn, "hello", replaces=turn, versions=[turn, new_turn])
    new_turn_data = {"id": new_turn, "status": "running", "ahead": 0, "replaces": turn}
    fake_server.send({"type": "message.accepted", **accepted, "turn": new_turn_data})
    fake_server.finish(new_turn, "Here you are.")
    expect(reply(fake_server.page)).to_contain_text("Here you are.")
    expect(fake_server.page.locator('[data-testid="message"][data-role="user"]')).to_have_count(1)
    expect(fake_server.page.get_by_test_id("failed")).to_have_count(0)


def test_queued_messages_show_their_position(fake_server: FakeServer) -> None:
    first = fake_server.accept(fake_server.send_message("one"))
    fake_server.send_turn_event(first, "turn.started")
    second = fake_server.accept(fake_server.send_message("two"), status="queued")
    fake_server.accept(fake_server.send_message("three"), status="queued")
    expect(fake_server.page.get_by_test_id("queued")).to_have_text(["Queued: answered next", "Queued: 2 before it"])
    fake_server.finish(first, "First.")
    fake_server.send_turn_event(second, "turn.started")
    expect(fake_server.page.get_by_test_id("queued")).to_have_text(["Queued: answered next"])


def test_rejected_message_can_be_edited_or_sent_again(fake_server: FakeServer) -> None:
    frame = fake_server.send_message("hello")
    error = {"type": "error", "code": "conflict", "detail": "Not now, please.", "client_id": frame["client_id"]}
    fake_server.send(error)
    expect(fake_server.page.get_by_test_id("unsent")).to_contain_text("Not now, please.")
    fake_server.page.get_by_role("button", name="Try again").click()
    eventually(lambda: len(fake_server.frames_of_type("message.send")) == 2)
    assert fake_server.frames_of_type("message.send")[-1]["client_id"] == frame["client_id"]
    fake_server.send(error)
    fake_server.page.get_by_role("button", name="Edit").click()
    expect(fake_server.page.get_by_test_id("composer")).to_have_value("hello")
    expect(fake_server.page.get_by_test_id("unsent")).to_have_count(0)


def test_reconnect_resends_a_message_with_the_same_id(fake_server: FakeServer) -> None:
    frame = fake_server.send_message("hello")
    fake_server.sockets[-1].close(code=1012)
    eventually(lambda: len(fake_server.frames_of_type("message.send")) == 2)
    assert fake_server.frames_of_type("message.send")[-1] == frame
    expect_state(fake_server.page, "online")


def test_reconnect_follows_a_turn_from_the_last_received_frame(fake_server: FakeServer) -> None:
    turn = fake_server.accept(fake_server.send_message("hello"))
    fake_server.send_delta(turn, "one")
    fake_server.send_delta(turn, " two", at=3)
    expect(reply(fake_server.page)).to_contain_text("one two")

    def open_again(socket: WebSocketRoute) -> None:
        fake_server.sockets.append(socket)
        socket.on_message(lambda text: fake_server.received.append(json.loads(text)))
        fake_server.send(
            {"type": "ready", "protocol": 1, "conversation": None, "turns": [{"id": turn, "status": "running", "n": 2}]}
        )

    fake_server.open = open_again  # type: ignore[method-assign]
    fake_server.page.route_web_socket(re.compile("/ws/chat/"), open_again)
    fake_server.add_turn(turn, "hello", text="one two")
    fake_server.sockets[-1].close(code=4408)
    follow = fake_server.wait_for("log.follow")
    assert (follow["turn_id"], follow["attempt"], follow["after"]) == (turn, 1, 2)


@pytest.mark.parametrize(
    ("code", "reason"), [(4404, "belongs to another user"), (4429, "too many tabs"), (4401, "You are signed out.")]
)
def test_permanently_closed_socket_shows_the_reason(fake_server: FakeServer, code: int, reason: str) -> None:
    fake_server.sockets[-1].close(code=code)
    expect(fake_server.page.get_by_role("alert")).to_contain_text(reason)
    expect_state(fake_server.page, "offline")


def test_streaming_does_not_scroll_a_user_who_scrolled_up(fake_server: FakeServer) -> None:
    page = fake_server.page
    long = "\n\n".join(f"Paragraph {n}" for n in range(60))
    fake_server.answer("one", long)
    turn = fake_server.accept(fake_server.send_message("two"))
    distance_to_bottom: Callable[[], float] = lambda: page.evaluate(  # noqa: E731
        "() => { const s = document.querySelector('#scroller'); return s.scrollHeight - s.scrollTop - s.clientHeight }"
    )
    fake_server.send_delta(turn, long)
    eventually(lambda: distance_to_bottom() < 2)
    expect(page.get_by_role("button", name="Go to the newest message")).to_be_hidden()
    page.locator("#scroller").hover()
    page.mouse.wheel(0, -900)
    eventually(lambda: distance_to_bottom() > 500)
    before = page.evaluate("document.querySelector('#scroller').scrollTop")
    fake_server.send_delta(turn, "\n\n" + long, at=len(long))
    fake_server.finish(turn, long + "\n\n" + long)
    expect(reply(page)).not_to_have_attribute("data-streaming", "")
    assert page.evaluate("document.querySelector('#scroller').scrollTop") == before
    page.get_by_role("button", name="Go to the newest message").click()
    eventually(lambda: distance_to_bottom() < 2)


def test_finished_reply_is_announced_and_memory_warning_is_shown(fake_server: FakeServer) -> None:
    turn = fake_server.accept(fake_server.send_message("hello"))
    fake_server.send_delta(turn, "Half a")
    expect(reply(fake_server.page)).to_contain_text("Half a")
    expect(fake_server.page.locator("#announcer")).to_be_empty()
    fake_server.finish(turn, "Half a **reply**:\n\n- [x] the `other` [half](https://a.example) & more")
    announced = "Threadkeeper: Half a reply: Done: the other half & more"
    expect(fake_server.page.locator("#announcer")).to_have_text(announced)

    turn = fake_server.accept(fake_server.send_message("hello"))
    fake_server.send_turn_event(turn, "warning", code="context_unavailable", detail="Context temporarily unavailable")
    fake_server.finish(turn, "Hello.")
    expect(fake_server.page.get_by_test_id("warning")).to_have_text("Context temporarily unavailable")


def test_very_long_reply_does_not_block_the_page(fake_server: FakeServer) -> None:
    turn = fake_server.accept(fake_server.send_message("hello"))
    text = "".join(f"- item **{n}** with `code`\n" for n in range(3000))
    for start in range(0, len(text), 2000):
        fake_server.send_delta(turn, text[start : start + 2000], at=start)
    fake_server.finish(turn, text)
    expect(reply(fake_server.page).locator("li")).to_have_count(3000, timeout=20_000)


def test_streaming_rerenders_only_the_last_block_of_a_reply(fake_server: FakeServer) -> None:
    page = fake_server.page
    conversation = {
        "title": "Other",
        "created_at": NOW,
        "updated_at": NOW,
        "pinned": False,
        "archived": False,
        "trashed": False,
    }
    for _ in range(20):
        fake_server.send({"type": "conversation.updated", "conversation": {"id": str(uuid.uuid4()), **conversation}})
    turn = fake_server.accept(fake_server.send_message("tell me"))
    text = "# One\n\nA paragraph.\n\n- a list\n\nThe end"
    fake_server.send_delta(turn, text)
    expect(reply(page)).to_contain_text("The end")
    page.evaluate(
        """() => {
            window.touched = new Set();
            const note = (records) => records.forEach(({target}) => {
                const element = target instanceof Element ? target : target.parentElement;
                touched.add(element.closest("#transcript, #conversations, #tasks, .bar")?.id || "bar");
            });
            const all = {childList: true, subtree: true, characterData: true, attributes: true};
            for (const part of ["#conversations", "#tasks", ".bar"]) {
                new MutationObserver(note).observe(document.querySelector(part), all);
            }
            window.blocks = [...document.querySelectorAll(".turn:last-child .block")];
        }"""
    )
    for n, word in enumerate([" of", " it", " all", "."]):
        fake_server.send_delta(turn, word, at=len(text) + sum(map(len, [" of", " it", " all"][:n])))
    expect(reply(page)).to_contain_text("The end of it all.")
    assert page.evaluate("[...touched]") == []
    unchanged = "blocks.map((block, index) => block === document.querySelectorAll('.turn:last-child .block')[index])"
    assert page.evaluate(unchanged) == [True, True, True, False]


def test_long_streamed_code_is_split_into_text_nodes_and_not_rerendered(fake_server: FakeServer) -> None:
    page = fake_server.page
    turn = fake_server.accept(fake_server.send_message("Write code"))
    lines = [f"let variable{n} = {n};\n" for n in range(1200)]
    at, text = 0, ""
    for part in ["```js\n", *("".join(lines[n : n + 50]) for n in range(0, 1200, 50)), "```"]:
        fake_server.send_delta(turn, part, at)
        at, text = at + len(part), text + part
        # Each part is rendered before the next one is sent.
        page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    code = reply(page).locator("pre code")
    assert code.evaluate("(code) => code.textContent") == "".join(lines)
    longest = "(code) => Math.max(...[...code.childNodes].map((part) => part.textContent.length))"
    assert code.evaluate(longest) < 6_000
    assert code.evaluate("(code) => code.innerText.trimEnd()") == "".join(lines).rstrip()
    page.evaluate("window.code = document.querySelector('.turn:last-child pre code')")
    fake_server.finish(turn, text)
    expect(page.locator(f'[data-turn="{turn}"] [data-role="assistant"]:not([data-streaming])')).to_be_visible()
    assert page.evaluate("window.code.isConnected")


def test_streamed_code_and_tables_are_appended_in_place(fake_server: FakeServer) -> None:
    page = fake_server.page
    turn = fake_server.accept(fake_server.send_message("show me"))
    text = "```js\nlet a = '<b>';"
    fake_server.send_delta(turn, text)
    code = reply(page).locator("pre code")
    expect(code).to_have_text("let a = '<b>';")
    page.evaluate("window.code = document.querySelector('.turn:last-child pre code')")
    fake_server.send_delta(turn, "\nlet b;", at=len(text))
    expect(code).to_have_text("let a = '<b>';\nlet b;")
    assert page.evaluate("window.code.isConnected")
    fake_server.send_delta(turn, "\n```\n\nDone", at=len(text) + 7)
    expect(reply(page)).to_contain_text("Done")
    expect(code).to_have_text("let a = '<b>';\nlet b;")
    fake_server.finish(turn, text + "\nlet b;\n```\n\nDone")

    turn = fake_server.accept(fake_server.send_message("show me more"))
    text = "| a | b |\n|---|--:|\n| 1 | 2 |\n| 3"
    fake_server.send_delta(turn, text)
    cells = reply(page).locator("td")
    expect(cells).to_have_text(["1", "2", "3", ""])
    page.evaluate("window.row = document.querySelector('.turn:last-child tbody tr')")
    fake_server.send_delta(turn, "3 | <b>4</b> |\n| 5 | **6** |\n", at=len(text))
    expect(cells).to_have_text(["1", "2", "33", "<b>4</b>", "5", "6"])
    assert page.evaluate("window.row.isConnected")
    expect(reply(page).locator("td strong")).to_have_text("6")
    fake_server.send_delta(turn, "\nDone", at=len(text) + 30)
    expect(reply(page)).to_contain_text("Done")
    expect(cells).to_have_count(6)


def messages_since(fake_server: FakeServer, start: int) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = eventually(
        lambda: fake_server.frames_of_type("message.send")[start:], what=f"message {start}"
    )
    return frames


def test_rate_limited_messages_are_sent_later_in_order(fake_server: FakeServer) -> None:
    page = fake_server.page
    frames = [fake_server.send_message(f"number {number}") for number in range(3)]
    for frame in (frames[0], frames[2], frames[1]):
        fake_server.send(
            {
                "type": "error",
                "client_id": frame["client_id"],
                "code": "rate_limited",
                "detail": "That is too much; please wait.",
                "retry_after": 4,
            }
        )
    unsent = page.get_by_test_id("unsent")
    expect(unsent.first).to_contain_text(re.compile(r"That is too much\. It is sent in \d seconds?\."))
    expect(unsent.last).to_contain_text("Waiting…")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    page.get_by_test_id("composer").fill("number 3")
    page.get_by_test_id("composer").press("Enter")
    expect(unsent).to_have_count(4)
    for number in range(4):
        expect(unsent).to_have_count(4 - number)
        (frame,) = messages_since(fake_server, 3 + number)
        assert frame["text"] == f"number {number}"
        fake_server.finish(fake_server.accept(frame), "Yes.")
    expect(unsent).to_have_count(0)
