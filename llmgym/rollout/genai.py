"""Names of OpenTelemetry's conventions for generative AI, as their repository `semantic-conventions-genai` has them.

They are those of version 0.1.0, in which all of them are in development. `llmgym.*` are names of our own, for what the
conventions have none for.
"""

OPERATION = "gen_ai.operation.name"
INVOKE_AGENT, CHAT, EXECUTE_TOOL = "invoke_agent", "chat", "execute_tool"

AGENT = "gen_ai.agent.name"
CONVERSATION = "gen_ai.conversation.id"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL, RESPONSE_MODEL = "gen_ai.request.model", "gen_ai.response.model"
TEMPERATURE, TOP_P = "gen_ai.request.temperature", "gen_ai.request.top_p"
MAX_TOKENS = "gen_ai.request.max_tokens"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS, OUTPUT_TOKENS = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
TOOL, TOOL_CALL = "gen_ai.tool.name", "gen_ai.tool.call.id"
TOOL_ARGUMENTS, TOOL_RESULT = "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"
INPUT_MESSAGES, OUTPUT_MESSAGES = "gen_ai.input.messages", "gen_ai.output.messages"
EVALUATION = "gen_ai.evaluation.result"
EVALUATION_NAME, EVALUATION_SCORE = "gen_ai.evaluation.name", "gen_ai.evaluation.score.value"
ERROR = "error.type"

TASK, REPEAT, ATTEMPTS = "llmgym.task.id", "llmgym.repeat", "llmgym.attempts"
STATUS, REWARD = "llmgym.status", "llmgym.reward"

#: The variable by which all instrumentations of the conventions are told to put what is said into spans.
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
