"""Tasksets of `verifiers` by name, in a worker process of a Python environment that is theirs."""
