#!/usr/bin/env bash
# Train with verl on a machine with a GPU. Arguments are further settings of verl: run.sh trainer.n_gpus_per_node=8
#   pip install 'llmgym[verl,data]' 'verl[vllm]'
set -euo pipefail
cd "$(dirname "$0")"

llmgym export verl-config --max-output-tokens 512 --set episode_timeout=600 --output data/agent_loop.yaml
llmgym export verl-data --env llmgym/Calculator-v0 --num-tasks 4096 --output data/train.parquet
llmgym export verl-data --env llmgym/Calculator-v0 --num-tasks 128 --split test --output data/test.parquet

exec python -m verl.trainer.main_ppo --config-path "$PWD" --config-name config "$@"
