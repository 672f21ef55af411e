// A program over the TypeScript client that @hey-api/openapi-ts generates: `node client.js URL EMAIL PASSWORD`.
import { client } from "./hey/client.gen";
import {
    completeTask,
    createTask,
    createThread,
    followTurn,
    getThread,
    listTasks,
    sendMessage,
    signIn,
    updateTask,
} from "./hey/sdk.gen";
import type { TurnEvent } from "./hey/types.gen";

declare const process: { argv: string[]; exit(code: number): void };

function check(holds: unknown, what: string): asserts holds {
    if (!holds) throw new Error(what);
}

const [url, email, password] = process.argv.slice(2);
check(url && email && password, "three arguments");
client.setConfig({ baseUrl: url });
const login = await signIn({ body: { email, password }, throwOnError: true });
client.setConfig({ auth: login.data.access_token });

// A change of one field changes nothing else.
const made = await createTask({ body: { title: "Buy milk" }, throwOnError: true });
const path = { task_id: made.data.task_id };
await completeTask({ path, throwOnError: true });
const changed = await updateTask({ path, body: { title: "Buy oat milk" }, throwOnError: true });
check(changed.data.is_completed && changed.data.title === "Buy oat milk", "the task stays completed");
const listed = await listTasks({ throwOnError: true });
check(listed.data.items.length === 1 && !listed.data.has_more, "one task");

// A failure has a code that is one of the enum.
const refused = await createTask({ body: { title: "" } });
check(refused.error?.error.code === "invalid" && refused.error.error.fields?.["title"], "a refusal names its field");

// A stream that is cut goes on behind the last event.
const thread = await createThread({ body: {}, throwOnError: true });
const thread_id = thread.data.thread_id;
const begun = await sendMessage({
    path: { thread_id },
    body: { text: "What is on my list?" },
    headers: { "Idempotency-Key": crypto.randomUUID() },
});
let shown = "";
let start: TurnEvent | undefined;
for await (const data of begun.stream) {
    start = data as unknown as TurnEvent;
    break;
}
check(start?.type === "message_start", "the first event begins the message");
let lastId = "";
const followed = await followTurn({
    path: { thread_id, turn_id: start.turn_id },
    onSseEvent: (event) => {
        lastId = event.id ?? lastId;
    },
});
for await (const data of followed.stream) {
    const event = data as unknown as TurnEvent;
    if (event.type === "message_start") shown = "";
    if (event.type === "content_delta") shown += event.delta;
    if (event.type === "message_end") {
        check(event.content === shown, "the parts make the whole");
        break;
    }
    check(event.type !== "error", "no error");
}
check(/^\d+-\d+$/.test(lastId), "events have ids");
const stored = await getThread({ path: { thread_id }, throwOnError: true });
check(stored.data.messages.at(-1)?.content === shown, "the record has the same text");
console.log("done");
process.exit(0);
