"""Adapters that put llmgym into RL trainers, one module each; none is imported before it is used."""
