"""Tools and instructions of the site: `AGENT_EXTRA_TOOLS` names them (docs/how-to/add-a-tool.md).

A subclass of `TaskTool` acts in the transaction that writes its call into the journal, as our own tools do. A
function, or the SDK's tool of one, may take its time and reach other systems, so it acts outside of any transaction: it
is written down before it begins, and one that is cut off is never begun again.
"""

import copy
import inspect
import json
import logging
import re
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, get_origin

from agents import FunctionTool, RunContextWrapper, function_tool
from agents.exceptions import UserError
from agents.tool import invoke_function_tool
from agents.tool_context import ToolContext
from django.conf import settings
from pydantic_core import to_jsonable_python

from chat.assistant.context import Call, TurnContext
from chat.assistant.endpoints.validation.items import SDK_NAME
from chat.assistant.tools import TOOLS, TaskTool
from chat.exceptions import BadExtraTools

logger = logging.getLogger(__name__)

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
FAILED = json.dumps({"ok": False, "error": "tool_error", "detail": "The tool failed."})


@dataclass(frozen=True, slots=True)
class Extra:
    """The assistant's additional tools, and their instructions."""

    tools: Sequence[FunctionTool] = ()
    instructions: str = ""

    @property
    def described(self) -> str:
        """The tools, one line each."""
        return "\n".join(f"- {tool.name}: {' '.join(tool.description.split())}" for tool in self.tools)


def configured() -> Extra:
    """Load what the setting names. Raise BadExtraTools."""
    return load(settings.AGENT_EXTRA_TOOLS)


@cache
def load(path: str) -> Extra:
    """Return what a dotted path names: a list of tools, or something with `tools` and maybe `instructions`.

    Raise BadExtraTools.
    """
    if not path:
        return Extra()
    try:
        return _read(_found(path))
    except ValueError as error:
        raise BadExtraTools(path, str(error)) from error


def _read(found: object) -> Extra:
    given = found if isinstance(found, list | tuple) else getattr(found, "tools", None)
    instructions = "" if given is found else getattr(found, "instructions", "")
    if not isinstance(given, list | tuple):
        raise ValueError(f"it is {_kind(found)} without a list of `tools`")
    if not isinstance(instructions, str):
        raise ValueError("its `instructions` are no text")
    tools = [_tool(one) for one in given]
    _check_names([tool.name for tool in tools])
    return Extra(tools, inspect.cleandoc(instructions))


def _found(path: str) -> object:
    """Import a module, or something in one."""
    try:
        return _imported(path)
    except Exception as error:  # any error of the site's own module
        raise ValueError(f"it cannot be imported: {type(error).__name__}: {error}") from error


def _imported(path: str) -> object:
    try:
        return import_module(path)
    except ModuleNotFoundError as error:
        module, _, name = path.rpartition(".")
        if error.name != path or not module:
            raise
    return getattr(import_module(module), name)


def _check_names(names: Sequence[str]) -> None:
    taken = {tool.name for tool in TOOLS}
    for name in names:
        if not NAME.fullmatch(name):
            raise ValueError(f"“{name}” is no name for a tool: up to 64 letters, digits, “_” and “-”")
        if name.lower().startswith(SDK_NAME):
            raise ValueError(f"“{name}” begins with “{SDK_NAME}”, the name of a tool of the SDK's own")
        if name in taken:
            raise ValueError(f"there are two tools of the name “{name}”")
        taken.add(name)


def _tool(given: object) -> FunctionTool:
    """Wrap a tool as one of ours: journaled, approved, for the user of the turn."""
    if isinstance(given, type) and issubclass(given, TaskTool):
        if inspect.isabstract(given) or not isinstance(getattr(given, "name", None), str):
            raise ValueError(f"{given.__name__} lacks a `name` or its method `act`")
        _check_act(given)
        return given.function_tool()
    if isinstance(given, FunctionTool):
        return _journaled(given)
    if not inspect.isfunction(given):
        raise ValueError(f"{_kind(given)} is no tool")
    if inspect.isgeneratorfunction(given) or inspect.isasyncgenfunction(given):
        raise ValueError(f"{given.__name__} is a generator; return the output at once")
    try:
        return _journaled(function_tool(given))
    except UserError as error:
        raise ValueError(f"{given.__name__} cannot be made a tool: {error}") from error


def _check_act(tool: type[TaskTool]) -> None:
    """Raise ValueError where `act` is not a plain method `act(self, user_id) -> Effect`."""
    if not inspect.isfunction(tool.act) or inspect.iscoroutinefunction(tool.act):
        raise ValueError(f"{tool.__name__}.act is no plain method; it acts in a transaction, so it cannot be async")
    signature = inspect.signature(tool.act)
    try:
        signature.bind(None, None)
    except TypeError:
        raise ValueError(f"{tool.__name__}.act{signature} does not take exactly `self, user_id`") from None
    # An annotation may be a text, or `Any`: what the tool returns is checked again when it runs.
    returned = get_origin(signature.return_annotation) or signature.return_annotation
    if returned in (dict, list, str, bool, int, None):
        raise ValueError(f"{tool.__name__}.act returns {getattr(returned, '__name__', returned)}, not an Effect")


def _kind(given: object) -> str:
    return f"{given.__name__} (a class)" if isinstance(given, type) else f"an object of the type {type(given).__name__}"


def _journaled(tool: FunctionTool) -> FunctionTool:
    async def invoke(context: ToolContext[TurnContext], arguments: str) -> str:
        call = Call(context.tool_call_id, tool.name, arguments)
        return await context.context.act_apart(call, lambda: _output_of(tool, context, arguments))

    async def asks(context: RunContextWrapper[TurnContext], arguments: dict[str, Any], call_id: str) -> bool:
        """Return whether the user must approve first, unless they have. In doubt, yes."""
        if context.context.needs_no_approval(call_id):
            return False
        try:
            return tool.needs_approval is True or await tool.needs_approval(context, arguments, call_id)  # type: ignore[operator]
        except Exception as error:  # noqa: BLE001 - a function that is not ours
            _tell(tool, error)
            return True

    wrapped = copy.copy(tool)
    wrapped.on_invoke_tool = invoke
    wrapped.timeout_seconds = None  # enforced here, so that the output is journaled
    if tool.needs_approval:
        wrapped.needs_approval = asks
    return wrapped


async def _output_of(tool: FunctionTool, context: ToolContext[TurnContext], arguments: str) -> str:
    """Run a tool, and return its output as text: its own, or JSON."""
    try:
        output = await invoke_function_tool(function_tool=tool, context=context, arguments=arguments)
        if isinstance(output, str):
            return output
        return json.dumps(to_jsonable_python(output, fallback=str), ensure_ascii=False)
    except Exception as error:  # noqa: BLE001 - a function that is not ours
        _tell(tool, error)
        return FAILED


def _tell(tool: FunctionTool, error: Exception) -> None:
    """Log an error without its text, which may repeat a message."""
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error("The tool %s failed: %s\n%s", tool.name, type(error).__name__, where)
