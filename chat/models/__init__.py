"""The record: users, conversations, turns and tasks."""

from chat.models.attempts import AttemptCount
from chat.models.conversation import Conversation, Message
from chat.models.deletion import PendingDeletion
from chat.models.idempotency import IdempotentRequest
from chat.models.search import MessageVector, TitleVector
from chat.models.session import AdoptedItems, AgentSession, Quarantined
from chat.models.task import Task, TaskChange, TaskCounter
from chat.models.token import ApiToken
from chat.models.turn import ToolCall, Turn, TurnStep
from chat.models.usage import ModelUsage
from chat.models.user import FormerEmail, User
