#!/bin/sh
# opencode with the tools of the episode beside its own.
export OPENCODE_DISABLE_MODELS_FETCH=1 OPENCODE_DISABLE_AUTOUPDATE=1
export OPENCODE_CONFIG_CONTENT="{
    \"provider\": {\"llmgym\": {
        \"npm\": \"@ai-sdk/openai-compatible\",
        \"options\": {\"baseURL\": \"$OPENAI_BASE_URL\", \"apiKey\": \"$OPENAI_API_KEY\"},
        \"models\": {\"$LLMGYM_MODEL\": {}}
    }},
    \"model\": \"llmgym/$LLMGYM_MODEL\",
    \"mcp\": {\"llmgym\": {\"type\": \"remote\", \"url\": \"$LLMGYM_MCP_URL\"}}
}"
exec opencode run "$LLMGYM_TASK"
