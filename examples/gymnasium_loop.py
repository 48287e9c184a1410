"""Play an environment through Gymnasium, with its own random actions in the policy's place."""

from __future__ import annotations

import gymnasium

import llmgym

gymnasium.register_envs(llmgym)
env = gymnasium.make("llmgym/Calculator-v0", render_mode="ansi")
env.action_space.seed(0)
messages, info = env.reset(seed=0)
total, over = 0.0, False
while not over:
    messages, reward, terminated, truncated, info = env.step(env.action_space.sample())
    total, over = total + float(reward), terminated or truncated
print(env.render())
print(f"reward {total:g}", info["metrics"])
