"""Tests of llmgym."""
