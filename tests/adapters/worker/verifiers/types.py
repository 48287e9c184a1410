"""What a client of verifiers answers with."""

from types import SimpleNamespace


def Response(**fields):
    return SimpleNamespace(**fields)


def ResponseMessage(**fields):
    return SimpleNamespace(role="assistant", **fields)
