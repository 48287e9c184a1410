"""What runs in the other Python environment: it imports the standard library, `verifiers`, and nothing of llmgym."""
