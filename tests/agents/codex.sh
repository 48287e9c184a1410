#!/bin/sh
# Codex with the tools of the episode beside its own.
exec codex exec --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox -m "$LLMGYM_MODEL" \
    -c model_provider=llmgym \
    -c "model_providers.llmgym={name = \"llmgym\", base_url = \"$OPENAI_BASE_URL\", env_key = \"OPENAI_API_KEY\"}" \
    -c "mcp_servers.llmgym={url = \"$LLMGYM_MCP_URL\"}" "$LLMGYM_TASK"
