"""NeMo Gym's resource servers by URL, and its rows."""
