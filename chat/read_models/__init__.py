"""What entry points show: one frozen shape and one JSON form for each noun, and one loader of turns."""

from chat.read_models.conversation import ConversationJson, ConversationOut
from chat.read_models.message import MessageJson, MessageOut
from chat.read_models.task import PriorityWord, TaskJson, TaskOut
from chat.read_models.tool_call import ToolCallJson, ToolCallOut, in_words
from chat.read_models.turn import WARNINGS, TurnOut, WarningJson, load_turns, warning_json

__all__ = [
    "WARNINGS",
    "ConversationJson",
    "ConversationOut",
    "MessageJson",
    "MessageOut",
    "PriorityWord",
    "TaskJson",
    "TaskOut",
    "ToolCallJson",
    "ToolCallOut",
    "TurnOut",
    "WarningJson",
    "in_words",
    "load_turns",
    "warning_json",
]
