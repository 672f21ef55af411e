"""What entry points show: one frozen shape and one JSON form for each noun, and one loader of turns."""

from chat.read_models.conversation import ConversationOut
from chat.read_models.message import MessageOut
from chat.read_models.shape import Shape, plain
from chat.read_models.task import PriorityWord, TaskOut
from chat.read_models.tool_call import ToolCallOut, in_words
from chat.read_models.turn import WARNINGS, TurnOut, load_turns, warning_json
