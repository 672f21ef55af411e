"""Run a tool for an MCP client: always for the user of its token."""

import json
import logging
import traceback
import uuid
from contextvars import ContextVar
from typing import Any

import mcp_types
from django.db import DatabaseError
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError

from chat.assistant.tools import TaskTool
from chat.exceptions import NotConfirmed, ThreadkeeperError
from chat.infra.db_threads import in_database
from chat.mcp.tools import SERVED, DeleteTasks, read
from chat.models.task import Task
from chat.turns.approvals import DECLINED

logger = logging.getLogger(__name__)

Context = ServerRequestContext[Any, Any]

# Set per request, after its token is checked.
acting_for: ContextVar[uuid.UUID] = ContextVar("acting_for")

CONSENT = "consent"
LISTED = 20  # tasks in a question
UNAVAILABLE = "The service is temporarily unavailable. Please try again."


async def call_tool(
    context: Context, params: mcp_types.CallToolRequestParams
) -> mcp_types.CallToolResult | mcp_types.InputRequiredResult:
    """Run a call. An error becomes a result, for the model to read."""
    if params.name not in SERVED:
        raise MCPError(mcp_types.INVALID_PARAMS, "There is no such tool.")
    user_id = acting_for.get()
    try:
        tool = read(params.name, params.arguments or {})
        if isinstance(tool, DeleteTasks) and tool.confirmation is None and _can_ask(context):
            if params.request_state is None or not params.input_responses:
                return _question(*await in_database(_preview, tool, user_id))
            tool = _confirmed(tool, params)
        effect = await in_database(tool.act, user_id)
    except ThreadkeeperError as error:
        return _error(error.detail)
    except DatabaseError as error:
        # Without its text, which may repeat user content.
        where = "".join(traceback.format_tb(error.__traceback__))
        logger.error("The tool %s failed: %s\n%s", params.name, type(error).__name__, where)
        return _error(UNAVAILABLE)
    text = mcp_types.TextContent(text=json.dumps(effect.output, ensure_ascii=False))
    return mcp_types.CallToolResult(content=[text], structured_content=dict(effect.output))


def _can_ask(context: Context) -> bool:
    """Return whether a client can ask its user between two stateless requests."""
    form = mcp_types.ClientCapabilities(
        elicitation=mcp_types.ElicitationCapability(form=mcp_types.FormElicitationCapability())
    )
    return context.session.check_client_capability(form)  # known with modern versions only: there are no sessions here


def _preview(tool: DeleteTasks, user_id: uuid.UUID) -> tuple[list[Task], str]:
    question = tool.ask(user_id)
    return question.tasks, question.confirmation


def _question(tasks: list[Task], confirmation: str) -> mcp_types.InputRequiredResult:
    lines = [f"- {task.number}: {task.title}" for task in tasks[:LISTED]]
    if len(tasks) > LISTED:
        lines.append(f"- and {len(tasks) - LISTED} more")
    message = "\n".join([f"Delete {'this task' if len(tasks) == 1 else f'these {len(tasks)} tasks'}?", *lines])
    # No fields: accepting is the confirmation.
    form = mcp_types.ElicitRequestFormParams(message=message, requested_schema={"type": "object", "properties": {}})
    return mcp_types.InputRequiredResult(
        input_requests={CONSENT: mcp_types.ElicitRequest(params=form)}, request_state=confirmation
    )


def _confirmed(tool: DeleteTasks, params: mcp_types.CallToolRequestParams) -> TaskTool:
    """Return the call with the user's confirmation. Raise NotConfirmed if it was declined."""
    answer = (params.input_responses or {}).get(CONSENT)
    if not isinstance(answer, mcp_types.ElicitResult) or answer.action != "accept":
        raise NotConfirmed(str(DECLINED["detail"]))
    return tool.model_copy(update={"confirmation": params.request_state})


def _error(detail: str) -> mcp_types.CallToolResult:
    return mcp_types.CallToolResult(content=[mcp_types.TextContent(text=detail)], is_error=True)
