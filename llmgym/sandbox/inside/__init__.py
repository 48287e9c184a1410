"""What runs inside of the wall: the zygote and what it makes of its children.

Only the standard library, and `llmgym.sandbox.wire`: the zygote has no llmgym, no environment variables and no memory
of the process that started it.
"""
