"""reasoning-gym: about a hundred generators of questions (Apache-2.0)."""
