#!/bin/sh
# Claude Code with the tools of the episode alone, for `llmgym rollout --agent "sh examples/claude_code.sh"`.
exec claude -p "$LLMGYM_TASK" --model "$LLMGYM_MODEL" --tools "" --strict-mcp-config --allowedTools mcp__llmgym \
    --mcp-config "{\"mcpServers\": {\"llmgym\": {\"type\": \"http\", \"url\": \"$LLMGYM_MCP_URL\"}}}"
