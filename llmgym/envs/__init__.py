"""The environments that come with llmgym, one module or package each; importing this loads none of them."""
