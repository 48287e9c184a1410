"""Games for several agents that are llmgym's own."""
