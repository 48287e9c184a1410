"""A gateway that agent programs take for a model: what they have it say is recorded, with its exact tokens."""
