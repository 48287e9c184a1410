#!/bin/sh
# Claude Code with the tools of the episode alone, for `llmgym rollout --agent "sh examples/claude_code.sh"`. The task is
# on its standard input; further options go to Claude Code. It prints what went wrong, and a run keeps standard error.
exec claude -p --model "$LLMGYM_MODEL" --tools "" --strict-mcp-config --allowedTools mcp__llmgym \
    --mcp-config "{\"mcpServers\": {\"llmgym\": {\"type\": \"http\", \"url\": \"$LLMGYM_MCP_URL\"}}}" "$@" >&2
