"""Exercise the Python client that openapi-python-client generates: `python client.py URL EMAIL PASSWORD`."""

import json
import sys
import uuid

from threadkeeper_client import AuthenticatedClient, Client
from threadkeeper_client.api.auth import sign_in
from threadkeeper_client.api.tasks import complete_task, create_task, list_tasks, update_task
from threadkeeper_client.api.threads import create_thread, get_thread
from threadkeeper_client.models import (
    Credentials,
    ErrorReply,
    NewTask,
    NewThread,
    SignedInReply,
    TaskChanges,
    TaskPage,
    TaskReply,
)

url, email, password = sys.argv[1:]
login = sign_in.sync(client=Client(url), body=Credentials(email, password))
assert isinstance(login, SignedInReply), login
client = AuthenticatedClient(url, login.access_token)

# A change of one field changes nothing else.
created = create_task.sync(client=client, body=NewTask("Buy milk"))
assert isinstance(created, TaskReply), created
complete_task.sync(created.task_id, client=client)
changed = update_task.sync(created.task_id, client=client, body=TaskChanges(title="Buy oat milk"))
assert isinstance(changed, TaskReply), changed
assert (changed.is_completed, changed.title) == (True, "Buy oat milk")
listed = list_tasks.sync(client=client)
assert isinstance(listed, TaskPage)
assert len(listed.items) == 1

# The code of an error is a member of the enum.
rejected = create_task.sync(client=client, body=NewTask(""))
assert isinstance(rejected, ErrorReply), rejected
assert rejected.error.code == "invalid"

# A stream that was cut resumes after the last event received.
thread = create_thread.sync(client=client, body=NewThread())
assert thread is not None
path, key = f"/api/chatkit/threads/{thread.thread_id}/messages", str(uuid.uuid4())
http, body = client.get_httpx_client(), {"text": "What is on my list?"}
last_id, content = "", ""
with http.stream("POST", path, json=body, headers={"Idempotency-Key": key}) as cut:
    for line in cut.iter_lines():
        if line.startswith("id: "):
            last_id = line[4:]
        elif not line and last_id:
            break
with http.stream("POST", path, json=body, headers={"Idempotency-Key": key, "Last-Event-ID": last_id}) as resumed:
    for line in resumed.iter_lines():
        if line.startswith("data: "):
            content = json.loads(line[6:]).get("content", content)
stored = get_thread.sync(thread.thread_id, client=client)
assert [message.content for message in stored.messages] == [body["text"], content], stored
print("done")
