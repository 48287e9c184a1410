"""Other people's environments as environments of llmgym, one package for each ecosystem.

`registry.yaml` in each says what is registered, which imports nothing of the packages that are adapted.
"""
