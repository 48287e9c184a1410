"""Chat messages in the OpenAI chat format, as plain dicts: their types, how models write them, how people keep them."""

from llmgym.messages.actions import as_assistant, check_assistant
from llmgym.messages.calls import parse_tool_calls, written_call
from llmgym.messages.history import read_message, read_messages
from llmgym.messages.message import (
    FunctionCall,
    FunctionSchema,
    Message,
    Role,
    ToolCall,
    ToolSchema,
    assistant,
    format_message,
    scrub,
    system,
    tool_call,
    user,
    visible,
)
from llmgym.messages.mistakes import explain_call, explain_json
from llmgym.messages.reasoning import opens_reasoning, split_reasoning
from llmgym.messages.replies import read_reply

__all__ = [
    # types
    "FunctionCall",
    "FunctionSchema",
    "Message",
    "Role",
    "ToolCall",
    "ToolSchema",
    # making
    "assistant",
    "system",
    "tool_call",
    "user",
    # what models write
    "as_assistant",
    "check_assistant",
    "explain_call",
    "explain_json",
    "opens_reasoning",
    "parse_tool_calls",
    "read_reply",
    "scrub",
    "split_reasoning",
    "written_call",
    # for people
    "format_message",
    "visible",
    # what people keep
    "read_message",
    "read_messages",
]
