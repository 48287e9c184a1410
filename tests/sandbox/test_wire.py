from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.sandbox.wire import Channel, Closed, blank, read_all
from tests.rollouts import ROOT

MESSAGES = st.lists(st.dictionaries(st.text(max_size=5).filter(lambda key: key != "fds"), st.text() | st.integers()))


def pair() -> tuple[Channel, Channel]:
    one, other = socket.socketpair()
    one.settimeout(5)
    other.settimeout(5)
    return Channel(one), Channel(other)


def open_fds() -> int:
    return len(os.listdir("/dev/fd"))


@given(MESSAGES, st.integers(1, 50))
def test_messages_arrive_however_they_are_cut(messages: list[dict[str, Any]], size: int) -> None:
    ours, theirs = socket.socketpair()
    sender, raw = Channel(ours), theirs
    for message in messages:
        sender.send(message)
    sender.close()
    text = b""
    while part := raw.recv(1 << 16):
        text += part
    raw.close()
    receiver = Channel(socket.socket())
    got = []
    for start in range(0, len(text), size):
        got += [message for message, _ in receiver._parse(text[start : start + size])]
    receiver.close()
    assert got == messages


def test_descriptors_come_with_their_message() -> None:
    before = open_fds()
    one, other = pair()
    files = [blank(b"a"), blank(b"bb"), blank()]
    one.send({"n": 1}, files[:2])
    one.send({"n": 2})
    one.send({"n": 3}, files[2:])
    got = []
    while len(got) < 3:
        got += other.receive()
    assert [message["n"] for message, _ in got] == [1, 2, 3]
    assert [[read_all(fd) for fd in fds] for _, fds in got] == [[b"a", b"bb"], [], [b""]]
    for fd in [*files, *(fd for _, fds in got for fd in fds)]:
        os.close(fd)
    one.close()
    other.close()
    assert open_fds() == before


def test_descriptors_of_an_untrusted_side_are_never_taken() -> None:
    before = open_fds()
    one, other = pair()
    file = blank(b"x")
    one.send({"code": 0}, [file])
    assert other.receive_data() == [{"code": 0}]
    os.close(file)
    one.close()
    other.close()
    assert open_fds() == before


@pytest.mark.parametrize("said", [b"nonsense\n", b"[1]\n", b"3\n", b'{"fds": "x"}\n', b"\xff\n", b"[" * 5000 + b"\n"])
def test_what_is_no_message_ends_the_channel(said: bytes) -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(theirs)
    ours.sendall(said)
    with pytest.raises(Closed):
        channel.receive_data()
    ours.close()
    channel.close()


def test_a_message_without_an_end_is_not_kept_for_ever() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(theirs)
    reads = iter(lambda: (ours.sendall(b"x" * 50_000), channel.receive_data()), None)
    with pytest.raises(Closed, match="too long"):
        next(n for n, _ in enumerate(reads) if n > 100)
    ours.close()
    channel.close()


_CROWD = """
import resource, socket, threading
from llmgym.sandbox.inside import kernel
from llmgym.sandbox.wire import Channel
crowd, ours, theirs = socket.socketpair(), *map(Channel, socket.socketpair())
socket.send_fds(crowd[0], [b"x"], [0] * 100)
kernel.drop_capabilities()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
threading.Timer(0.2, crowd[1].recv, [1]).start()  # those arrive
ours.send({"a": 1}, [0])
((message, fds),) = theirs.receive()
print(message, len(fds))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_descriptors_wait_for_others_that_are_on_their_way() -> None:
    done = subprocess.run([sys.executable, "-c", _CROWD], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.stdout, done.stderr) == ("{'a': 1} 1\n", "")


def test_the_other_side_is_gone() -> None:
    one, other = pair()
    one.close()
    with pytest.raises(Closed):
        other.receive()
    with pytest.raises(Closed):
        other.send({"a": 1})
    other.close()


@given(st.binary(max_size=100), st.integers(0, 120))
def test_files_without_a_name(content: bytes, limit: int) -> None:
    fd = blank(content)
    assert os.read(fd, 200) == content  # it stands at its beginning
    assert read_all(fd) == content
    assert read_all(fd, limit) == content[:limit]
    os.close(fd)
