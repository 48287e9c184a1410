"""BFCL, the Berkeley Function Calling Leaderboard: wishes that calls of functions grant, in one turn or several."""
