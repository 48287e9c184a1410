#!/usr/bin/env bash
# Claude Code answers a reply that was cut at its token limit by a message of its own, three times over.
#
# What happens: a server of the Messages API ends each reply with the stop reason "max_tokens". Claude Code sends the
# cut reply back with a user message behind it, which nobody wrote, that asks the model to go on, and again with the
# next cut reply; after the fourth it ends with an error. One would have expected one request, and its end.
# Why it matters: a sampling limit, by which a trainer means to end an episode, has the policy write up to four replies,
# and the transcript holds user messages that are not the task's.
# Seen with @anthropic-ai/claude-code 2.1.332, started without tools, by `claude -p`.
# In llmgym: docs/agents.md says to give `--max-output-tokens` enough.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-fund --no-audit --prefix "$folder" @anthropic-ai/claude-code@2.1.332
"${PYTHON:-python3}" - "$folder" <<'PYTHON'
import http.server
import json
import os
import subprocess
import sys
import threading

folder = sys.argv[1]
asked = []


class Messages(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.path.startswith("/v1/messages?") and self.path != "/v1/messages":
            self.send_error(404)
            return
        asked.append(request["messages"])
        message = {"id": f"msg_{len(asked)}", "type": "message", "role": "assistant", "model": request["model"],
                   "content": [], "stop_reason": None, "stop_sequence": None,
                   "usage": {"input_tokens": 9, "output_tokens": 1}}
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for event in (
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": f"Part {len(asked)}"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
             "usage": {"output_tokens": 2}},
            {"type": "message_stop"},
        ):
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Messages)
threading.Thread(target=server.serve_forever, daemon=True).start()
variables = {
    "PATH": os.environ["PATH"], "HOME": folder, "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{server.server_port}",
    "ANTHROPIC_API_KEY": "any", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
}
done = subprocess.run(
    [f"{folder}/node_modules/.bin/claude", "-p", "--model", "claude-sonnet-4-5", "--tools", ""],
    env=variables, cwd=folder, input="Count to ten.", capture_output=True, text=True, timeout=300,
)
for number, messages in enumerate(asked, 1):
    said = messages[-1]["content"]
    text = said if isinstance(said, str) else said[-1]["text"]
    print(f"request {number}: {len(messages)} messages, the last by the {messages[-1]['role']}: {text!r}")
print(f"status {done.returncode}: {(done.stdout + done.stderr).strip()!r}")
lengths = [len(messages) for messages in asked]
sys.exit(0 if lengths == [1, 3, 5, 7] and done.returncode else "this is no longer so")
PYTHON
