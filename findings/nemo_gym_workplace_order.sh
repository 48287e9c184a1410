#!/usr/bin/env bash
# NeMo Gym's workplace assistant: the same two new things, asked for in the other order, earn nothing.
#
# What happens: the verifier replays the calls and the reference calls on fresh tables and compares these as they lie, row
# by row, ids included. Ids are counted up, so two events that are booked in the other order swap their ids and rows.
# Deleting in another order is right. One would have expected that a final state is compared as a set of events, as the
# function's own text says that calls are judged by the state that they lead to.
# Why it matters: "book A and B" has two right answers of which one is rewarded: a policy learns the reference's order.
# Seen with nemo-gym 0.7.0 (resources_servers.workplace_assistant) on Python 3.13; its metadata asks for 3.13.14.
# In llmgym: `llmgym/Workplace-v0` takes such rows and compares what rows say, ids of new ones left out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-deps --ignore-requires-python nemo-gym==0.7.0 pandas==3.1.1 numpy==2.5.5 \
    python-dateutil==2.9.0.post0 six==1.17.0
"$folder/venv/bin/python" - <<'PYTHON'
import json
import sys

from resources_servers.workplace_assistant.utils import is_correct


def call(name, **arguments):
    return {"name": name, "arguments": json.dumps(arguments)}


def event(name, day):
    start = f"2023-12-{day:02} 09:00:00"
    who = {"participant_email": "carlos.rodriguez@atlas.com", "event_start": start, "duration": "30"}
    return call("calendar_create_event", event_name=name, **who)


def delete(number):
    return call("email_delete_email", email_id=f"{number:08}")


a, b = event("A", 4), event("B", 5)
found = {
    "two events, in the reference's order": is_correct([a, b], [a, b], ""),
    "two events, the other way round": is_correct([b, a], [a, b], ""),
    "one event of the two": is_correct([a], [a, b], ""),
    "two deletions, the other way round": is_correct([delete(1), delete(2)], [delete(2), delete(1)], ""),
}
for name, right in found.items():
    print(f"{name}: {right}")
sys.exit(0 if list(found.values()) == [True, False, False, True] else "this is no longer so")
PYTHON
