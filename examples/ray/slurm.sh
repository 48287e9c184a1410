#!/bin/bash
# A run on the nodes of a Slurm allocation: sbatch examples/ray/slurm.sh
# Needs llmgym[ray,server] in the Python that is active, servers of a model, and a folder that the first node can write.
# When the allocation ends before the run does, submit the same again: it goes on with the folder.
#SBATCH --job-name=llmgym
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
set -euo pipefail

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 -w "$head" hostname --ip-address | awk '{print $1}'):6379
export RAY_USAGE_STATS_ENABLED=0

srun --nodes=1 --ntasks=1 -w "$head" ray start --head --port=6379 --num-cpus="$SLURM_CPUS_PER_TASK" --block &
sleep 20
srun --nodes=$((SLURM_NNODES - 1)) --ntasks=$((SLURM_NNODES - 1)) --exclude="$head" \
    ray start --address="$address" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
sleep 20

# The batch script runs on the first node. Stop in order some minutes before the allocation ends.
llmgym rollout --env llmgym/Calculator-v0 --policy "$SERVERS" --num-tasks 10000 --num-repeats 8 \
    --num-samples-in-parallel 2048 --time-budget 3h50m --output "$HOME/runs/first" --ray "$address"
