"""TextArena: games in text (MIT), here those for one player that can be solved."""
