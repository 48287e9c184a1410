#!/bin/sh -e
# An agent of curl and `llmgym tool`: one call, and an answer. LLMGYM names the command.
ask() {
    curl -sS --fail-with-body "$OPENAI_BASE_URL/chat/completions" -H 'Content-Type: application/json' -d "$1"
}
tools=$(curl -sS --fail-with-body "$LLMGYM_TOOLS_URL")
messages=${LLMGYM_MESSAGES%]}
said=$(ask "{\"messages\": $messages], \"tools\": $tools}" | jq -c '.choices[0].message')
call=$(echo "$said" | jq -c '.tool_calls[0]')
result=$($LLMGYM tool "$(echo "$call" | jq -r .function.name)" "$(echo "$call" | jq -r .function.arguments)")
answer=$(jq -cn --argjson call "$call" --arg text "$result" '{role: "tool", tool_call_id: $call.id, content: $text}')
ask "{\"messages\": $messages, $said, $answer], \"tools\": $tools}" > /dev/null
