"""What it costs a run to be watched: spans of 1 % of its episodes, sent by OTLP, and a page for Prometheus.

Calculator episodes of 9 turns with a policy that answers at once; runs with and without are taken by turns, each in the
order in which the last ones were not, and the medians of their CPU are compared; `..._rounds` are the ratios of each
round, sorted. The receiver is another process. The last line printed is one JSON object. Runs on one core.
"""

from __future__ import annotations

import http.server
import multiprocessing
import os
import statistics
import sys
from multiprocessing.connection import Connection
from typing import Any

from _instant import InstantPolicy, call, measure, one_core, report, template_codec

ENV = "llmgym/Calculator-v0"
CALLS = [call("add", a=17 + i, b=25) for i in range(8)]
WAYS: dict[str, dict[str, Any]] = {
    "off": {},
    "one_percent": {"trace": 0.01},
    "all_episodes": {"trace": 1.0},
    "prometheus": {"track": [{"name": "prometheus", "options": {"port": 19464}}]},
}


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes spans and forgets them."""

    def do_POST(self) -> None:
        """Take them."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def receive(line: Connection) -> None:
    """Serve until the end of the program, at a port that is told."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    line.send(server.server_port)
    server.serve_forever()


def main() -> None:
    """Measure all ways."""
    ours, theirs = multiprocessing.Pipe()
    multiprocessing.Process(target=receive, args=(theirs,), daemon=True).start()
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{ours.recv()}"
    one_core()
    episodes, rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1500, 7
    tokenizer, codec = template_codec()

    def cpu_ms(settings: dict[str, Any]) -> float:
        policy = InstantPolicy(tokenizer, [*CALLS, "The answer is 42."], 200, codec.stop_token_ids[0])
        found = measure(ENV, policy, codec, episodes, max_turns=16, **settings)
        assert found["turns"] == 9 * episodes, found
        return 1e3 * found["cpu_s"] / found["turns"]

    for settings in WAYS.values():  # what is imported and compiled once
        cpu_ms(settings)
    taken: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(rounds):
        for name in sorted(WAYS, reverse=bool(number % 2)):
            taken[name].append(cpu_ms(WAYS[name]))
    middle = {name: statistics.median(each) for name, each in taken.items()}
    ratios: dict[str, Any] = {}
    for name in [name for name in WAYS if name != "off"]:
        each = sorted(one / off for one, off in zip(taken[name], taken["off"], strict=True))
        ratios |= {f"{name}_ratio": middle[name] / middle["off"], f"{name}_rounds": [round(one, 3) for one in each]}
    report("telemetry", {"cpu_ms_per_turn": middle["off"], **ratios, "episodes": episodes, "rounds": rounds})


if __name__ == "__main__":
    main()
