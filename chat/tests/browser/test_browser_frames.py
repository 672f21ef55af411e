"""What the page makes of frames that a server seldom sends: the browser is real, the frames are played."""

import json
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from chat.tests.browser.conftest import expect_state
from chat.tests.browser.stage import NOW, Stage
from config.tests.support import eventually

ATTACKS = (
    "<img src=x onerror=alert(1)> <script>alert(2)</script> [link](javascript:alert(3)) ![p](https://evil.example/x.png)"
    " <svg onload=alert(4)> <a href='javascript:alert(5)'>five</a> <iframe src='https://evil.example'></iframe>"
    " <style>body{display:none}</style> <form action=//evil.example><input name=x></form> [ok](https://example.com)"
)


def reply(page: Page) -> Any:
    return page.locator('[data-testid="message"][data-role="assistant"]').last


def test_a_reply_streams_as_markdown_and_is_coloured_at_the_end(stage: Stage) -> None:
    turn = stage.accept(stage.say("show me"))
    stage.log(turn, "turn.started")
    expect(stage.page.get_by_test_id("thinking")).to_be_visible()
    text = "Some **bold** 🎉 words\n\n```python\nx = 'one'\n```"
    stage.write(turn, text[:13])
    expect(reply(stage.page)).to_contain_text("Some bold")
    expect(stage.page.get_by_test_id("thinking")).to_be_hidden()
    stage.write(turn, text[13:], at=13)
    expect(reply(stage.page).locator("strong")).to_have_text("bold")
    expect(reply(stage.page).locator("pre code")).to_contain_text("x = 'one'")
    expect(reply(stage.page).locator(".hljs-string")).to_have_count(0)
    stage.finish(turn, text)
    expect(reply(stage.page).locator(".hljs-string")).to_have_text("'one'")


def test_what_the_model_thinks_stands_collapsed_above_the_reply(stage: Stage) -> None:
    turn = stage.accept(stage.say("hello"))
    stage.log(turn, "reasoning.delta", text="🧵 Hm, ", at=0)
    stage.log(turn, "reasoning.delta", text=ATTACKS, at=6)
    thoughts = stage.page.get_by_test_id("reasoning")
    expect(thoughts.locator("summary")).to_have_text("Thinking")
    expect(thoughts.locator("div")).to_be_hidden()
    thoughts.locator("summary").click()
    expect(thoughts.locator("div")).to_have_text("🧵 Hm, " + ATTACKS)

    stage.log(turn, "turn.resumed", text="", tools=[], at=0, reasoning="Yes.")
    expect(thoughts.locator("div")).to_have_text("Yes.")
    stage.write(turn, "Hello.")
    stage.finish(turn, "Hello.")
    expect(reply(stage.page)).to_contain_text("Hello.")
    expect(reply(stage.page)).not_to_contain_text("Yes.")
    expect(thoughts.locator("div")).to_be_visible()


def test_nothing_that_is_streamed_or_stored_becomes_markup(stage: Stage) -> None:
    page = stage.page
    turn = stage.accept(stage.say(ATTACKS))
    stage.log(turn, "tool.started", call_id="c1", name="create_task", arguments={"title": ATTACKS})
    output = json.dumps({"ok": True, "task": {"number": 1, "title": ATTACKS}})
    stage.log(turn, "tool.finished", call_id="c1", output=output)
    stage.write(turn, ATTACKS)
    task = {
        "task_id": "1", "number": 1, "title": ATTACKS, "description": ATTACKS, "due": None, "priority": "normal",
        "is_completed": False, "created_at": NOW, "updated_at": NOW, "completed_at": None,
    }  # fmt: skip
    stage.change_tasks([task])
    line = {"id": str(uuid.uuid4()), "title": ATTACKS, "created_at": NOW, "updated_at": NOW}
    stage.send({"type": "conversation.updated", "conversation": line})
    stage.log(turn, "warning", code="context_unavailable", detail=ATTACKS)
    stage.finish(turn, ATTACKS)
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


def test_offsets_snapshots_and_resumed_attempts_end_in_the_right_text(stage: Stage) -> None:
    turn = stage.accept(stage.say("hello"))
    stage.write(turn, "🧵🧵 one two")
    stage.write(turn, "three", at=3)
    expect(reply(stage.page)).to_contain_text("🧵🧵 three")
    stage.log(turn, "turn.snapshot", status="running", text="anew", tools=[])
    expect(reply(stage.page)).to_contain_text("anew")
    stage.n[turn] = 0
    stage.log(turn, "turn.resumed", attempt=2, text="anew and", tools=[], at=4)
    stage.log(turn, "text.delta", attempt=2, text=" again", at=4)
    expect(reply(stage.page)).to_contain_text("anew again")


def test_what_was_read_is_acknowledged_and_the_running_turn_can_be_stopped(stage: Stage) -> None:
    expect(stage.page.get_by_test_id("stop")).to_be_hidden()
    turn = stage.accept(stage.say("hello"))
    at = 0
    for part in ("The", " first", " half"):
        stage.write(turn, part, at)
        at += len(part)
    eventually(lambda: any(frame["n"] == 3 and frame["turn_id"] == turn for frame in stage.got("log.ack")), within=5)
    stage.page.get_by_test_id("stop").click()
    assert stage.wait_for("turn.stop")["turn_id"] == turn
    stage.log(turn, "turn.stopped", message=stage.message("assistant", "The first half", turn, 2))
    expect(stage.page.get_by_test_id("stopped")).to_be_visible()
    expect(stage.page.get_by_test_id("stop")).to_be_hidden()
    expect(reply(stage.page)).to_contain_text("The first half")


def test_a_failed_turn_says_why_and_can_be_tried_again(stage: Stage) -> None:
    turn = stage.accept(stage.say("hello"))
    stage.log(turn, "turn.failed", code="model", detail="The model did not answer.", retryable=True)
    expect(stage.page.get_by_test_id("failed")).to_contain_text("The model did not answer.")
    stage.page.get_by_test_id("retry").click()
    frame = stage.wait_for("turn.retry")
    assert frame["turn_id"] == turn
    expect(stage.page.get_by_test_id("retry")).to_be_disabled()
    message = stage.message("user", "hello", turn, 1)
    again = str(uuid.uuid4())
    accepted = {"client_id": frame["client_id"], "message": message}
    stage.tell(again, "hello", replaces=turn, versions=[turn, again])
    taken = {"id": again, "status": "running", "ahead": 0, "replaces": turn}
    stage.send({"type": "message.accepted", **accepted, "turn": taken})
    stage.finish(again, "Here you are.")
    expect(reply(stage.page)).to_contain_text("Here you are.")
    expect(stage.page.locator('[data-testid="message"][data-role="user"]')).to_have_count(1)
    expect(stage.page.get_by_test_id("failed")).to_have_count(0)


def test_queued_messages_are_shown_as_such(stage: Stage) -> None:
    first = stage.accept(stage.say("one"))
    stage.log(first, "turn.started")
    second = stage.accept(stage.say("two"), status="queued")
    stage.accept(stage.say("three"), status="queued")
    expect(stage.page.get_by_test_id("queued")).to_have_text(["Queued: answered next", "Queued: 2 before it"])
    stage.finish(first, "First.")
    stage.log(second, "turn.started")
    expect(stage.page.get_by_test_id("queued")).to_have_text(["Queued: answered next"])


def test_a_refused_message_can_be_edited_or_sent_again(stage: Stage) -> None:
    frame = stage.say("hello")
    refusal = {"type": "error", "code": "conflict", "detail": "Not now, please.", "client_id": frame["client_id"]}
    stage.send(refusal)
    expect(stage.page.get_by_test_id("unsent")).to_contain_text("Not now, please.")
    stage.page.get_by_role("button", name="Try again").click()
    eventually(lambda: len(stage.got("message.send")) == 2)
    assert stage.received[-1]["client_id"] == frame["client_id"]
    stage.send(refusal)
    stage.page.get_by_role("button", name="Edit").click()
    expect(stage.page.get_by_test_id("composer")).to_have_value("hello")
    expect(stage.page.get_by_test_id("unsent")).to_have_count(0)


def test_after_a_reconnect_the_same_message_goes_with_the_same_id(stage: Stage) -> None:
    frame = stage.say("hello")
    stage.sockets[-1].close(code=1012)
    eventually(lambda: len(stage.got("message.send")) == 2)
    assert stage.received[-1] == frame or frame in stage.received[-3:]
    expect_state(stage.page, "online")


def test_a_turn_is_followed_from_where_it_was_left(stage: Stage) -> None:
    turn = stage.accept(stage.say("hello"))
    stage.write(turn, "one")
    stage.write(turn, " two", at=3)
    expect(reply(stage.page)).to_contain_text("one two")

    def open_again(socket: WebSocketRoute) -> None:
        stage.sockets.append(socket)
        socket.on_message(lambda text: stage.received.append(json.loads(text)))
        stage.send(
            {"type": "ready", "protocol": 1, "conversation": None, "turns": [{"id": turn, "status": "running", "n": 2}]}
        )

    stage.open = open_again  # type: ignore[method-assign]
    stage.page.route_web_socket(re.compile("/ws/chat/"), open_again)
    stage.tell(turn, "hello", text="one two")
    stage.sockets[-1].close(code=4408)
    follow = stage.wait_for("log.follow")
    assert (follow["turn_id"], follow["attempt"], follow["after"]) == (turn, 1, 2)


@pytest.mark.parametrize(
    ("code", "words"), [(4404, "belongs to somebody else"), (4429, "too many tabs"), (4401, "You are signed out.")]
)
def test_a_socket_that_is_closed_for_good_says_why(stage: Stage, code: int, words: str) -> None:
    stage.sockets[-1].close(code=code)
    expect(stage.page.get_by_role("alert")).to_contain_text(words)
    expect_state(stage.page, "offline")


def test_who_scrolled_up_is_left_alone(stage: Stage) -> None:
    page = stage.page
    long = "\n\n".join(f"Paragraph {n}" for n in range(60))
    stage.answer("one", long)
    turn = stage.accept(stage.say("two"))
    bottom: Callable[[], float] = lambda: page.evaluate(  # noqa: E731
        "() => { const s = document.querySelector('#scroller'); return s.scrollHeight - s.scrollTop - s.clientHeight }"
    )
    stage.write(turn, long)
    eventually(lambda: bottom() < 2)
    expect(page.get_by_role("button", name="Go to the newest message")).to_be_hidden()
    page.locator("#scroller").hover()
    page.mouse.wheel(0, -900)
    eventually(lambda: bottom() > 500)
    before = page.evaluate("document.querySelector('#scroller').scrollTop")
    stage.write(turn, "\n\n" + long, at=len(long))
    stage.finish(turn, long + "\n\n" + long)
    expect(reply(page)).not_to_have_attribute("data-streaming", "")
    assert page.evaluate("document.querySelector('#scroller').scrollTop") == before
    page.get_by_role("button", name="Go to the newest message").click()
    eventually(lambda: bottom() < 2)


def test_a_finished_reply_is_announced_once_and_a_warning_of_the_memory_is_shown(stage: Stage) -> None:
    turn = stage.accept(stage.say("hello"))
    stage.write(turn, "Half a")
    expect(reply(stage.page)).to_contain_text("Half a")
    expect(stage.page.locator("#announcer")).to_be_empty()
    stage.finish(turn, "Half a **reply**:\n\n- [x] the `other` [half](https://a.example) & more")
    announced = "Threadkeeper: Half a reply: Done: the other half & more"
    expect(stage.page.locator("#announcer")).to_have_text(announced)

    turn = stage.accept(stage.say("hello"))
    stage.log(turn, "warning", code="context_unavailable", detail="Context temporarily unavailable")
    stage.finish(turn, "Hello.")
    expect(stage.page.get_by_test_id("warning")).to_have_text("Context temporarily unavailable")


def test_a_frame_that_is_much_too_much_does_not_hold_the_page_up(stage: Stage) -> None:
    turn = stage.accept(stage.say("hello"))
    text = "".join(f"- item **{n}** with `code`\n" for n in range(3000))
    for start in range(0, len(text), 2000):
        stage.write(turn, text[start : start + 2000], at=start)
    stage.finish(turn, text)
    expect(reply(stage.page).locator("li")).to_have_count(3000, timeout=20_000)


def test_only_the_end_of_a_reply_that_streams_is_drawn_again(stage: Stage) -> None:
    page = stage.page
    line = {
        "title": "Other",
        "created_at": NOW,
        "updated_at": NOW,
        "pinned": False,
        "archived": False,
        "trashed": False,
    }
    for _ in range(20):
        stage.send({"type": "conversation.updated", "conversation": {"id": str(uuid.uuid4()), **line}})
    turn = stage.accept(stage.say("tell me"))
    text = "# One\n\nA paragraph.\n\n- a list\n\nThe end"
    stage.write(turn, text)
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
        stage.write(turn, word, at=len(text) + sum(map(len, [" of", " it", " all"][:n])))
    expect(reply(page)).to_contain_text("The end of it all.")
    assert page.evaluate("[...touched]") == []
    kept = "blocks.map((block, index) => block === document.querySelectorAll('.turn:last-child .block')[index])"
    assert page.evaluate(kept) == [True, True, True, False]


def test_long_code_that_streams_is_a_row_of_texts_and_not_drawn_again(stage: Stage) -> None:
    page = stage.page
    turn = stage.accept(stage.say("Write code"))
    lines = [f"let variable{n} = {n};\n" for n in range(1200)]
    at, text = 0, ""
    for part in ["```js\n", *("".join(lines[n : n + 50]) for n in range(0, 1200, 50)), "```"]:
        stage.write(turn, part, at)
        at, text = at + len(part), text + part
        # Each is drawn before the next one comes.
        page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    code = reply(page).locator("pre code")
    assert code.evaluate("(code) => code.textContent") == "".join(lines)
    longest = "(code) => Math.max(...[...code.childNodes].map((part) => part.textContent.length))"
    assert code.evaluate(longest) < 6_000
    assert code.evaluate("(code) => code.innerText.trimEnd()") == "".join(lines).rstrip()
    page.evaluate("window.code = document.querySelector('.turn:last-child pre code')")
    stage.finish(turn, text)
    expect(page.locator(f'[data-turn="{turn}"] [data-role="assistant"]:not([data-streaming])')).to_be_visible()
    assert page.evaluate("window.code.isConnected")


def test_code_and_a_table_that_stream_are_added_to(stage: Stage) -> None:
    page = stage.page
    turn = stage.accept(stage.say("show me"))
    text = "```js\nlet a = '<b>';"
    stage.write(turn, text)
    code = reply(page).locator("pre code")
    expect(code).to_have_text("let a = '<b>';")
    page.evaluate("window.code = document.querySelector('.turn:last-child pre code')")
    stage.write(turn, "\nlet b;", at=len(text))
    expect(code).to_have_text("let a = '<b>';\nlet b;")
    assert page.evaluate("window.code.isConnected")
    stage.write(turn, "\n```\n\nDone", at=len(text) + 7)
    expect(reply(page)).to_contain_text("Done")
    expect(code).to_have_text("let a = '<b>';\nlet b;")
    stage.finish(turn, text + "\nlet b;\n```\n\nDone")

    turn = stage.accept(stage.say("show me more"))
    text = "| a | b |\n|---|--:|\n| 1 | 2 |\n| 3"
    stage.write(turn, text)
    cells = reply(page).locator("td")
    expect(cells).to_have_text(["1", "2", "3", ""])
    page.evaluate("window.row = document.querySelector('.turn:last-child tbody tr')")
    stage.write(turn, "3 | <b>4</b> |\n| 5 | **6** |\n", at=len(text))
    expect(cells).to_have_text(["1", "2", "33", "<b>4</b>", "5", "6"])
    assert page.evaluate("window.row.isConnected")
    expect(reply(page).locator("td strong")).to_have_text("6")
    stage.write(turn, "\nDone", at=len(text) + 30)
    expect(reply(page)).to_contain_text("Done")
    expect(cells).to_have_count(6)


def sent_from(stage: Stage, start: int) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = eventually(lambda: stage.got("message.send")[start:], what=f"message {start}")
    return frames


def test_what_is_refused_for_a_time_is_sent_in_order(stage: Stage) -> None:
    page = stage.page
    frames = [stage.say(f"number {number}") for number in range(3)]
    for frame in (frames[0], frames[2], frames[1]):
        stage.send(
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
        (frame,) = sent_from(stage, 3 + number)
        assert frame["text"] == f"number {number}"
        stage.finish(stage.accept(frame), "Yes.")
    expect(unsent).to_have_count(0)
