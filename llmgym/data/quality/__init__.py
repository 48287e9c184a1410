"""What rollouts are worth as data: their groups, rewards, texts and tokens measured, and gates for the measures."""
