"""Plain Gymnasium environments, played in text (MIT)."""
