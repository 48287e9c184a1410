"""Exports: samples of a source, as rows of a trainer, into a file and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from llmgym import __version__
from llmgym.data.dataset import Condition, Dataset
from llmgym.data.export.lengths import Lengths, enough
from llmgym.data.export.losses import LeftOut, Losses
from llmgym.data.export.pairs import pairs_of
from llmgym.data.export.recipe import Kind, Recipe, Trainer
from llmgym.data.export.rows import Row, shape_of
from llmgym.data.export.samples import Sample, of_episode, of_game, of_group, of_pair
from llmgym.data.export.settings import notes_of, settings_of
from llmgym.data.export.sources import Files, Group, Rows, Source
from llmgym.data.export.writing import writer_of
from llmgym.data.output import check_free, manifest_of, replacing_all
from llmgym.errors import ConfigError
from llmgym.files import naming
from llmgym.rollout.config import EnvConfig
from llmgym.rollout.description import read_description
from llmgym.trajectory import Trajectory

_HELD = 64  # episodes of a group that are kept, where each is in several pairs
_TRIES = 64  # pairs of a group that may be none, before it is given up


def export(
    data: Dataset,
    recipe: Recipe,
    output: Path | str,
    conditions: Sequence[Condition] = (),
    *,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Write the training data of episodes, and beside it, as `OUTPUT.manifest.json`, what is in it and what is not.

    Args:
        data: The episodes.
        recipe: What is written.
        output: The file.
        conditions: What episodes have to fulfil; see `llmgym.data.filtering`.
        force: Replace a file that is there.
        progress: Told how many rows have been written.

    Returns:
        The manifest.

    Raises:
        ConfigError: There is such a file, it is one that is read, its name is not for what is in it, or no episode
            gives a row; says why.
        LLMGymError: A row is none, or its file is another one by now.
    """
    output = Path(output)
    if output.suffix != (suffix := f".{shape_of(recipe).file}"):
        raise ConfigError(f"{output}: {recipe.trainer} reads {suffix} files here, and knows them by their names")
    places, inputs = (output, manifest_of(output)), [index.path for index in data.indexes]
    check_free(*places, force=force, inputs=inputs)
    if recipe.tokens:
        _check_one_model(data)
    losses, lengths = Losses(), Lengths()
    _count_unselected(data, losses, conditions)
    with replacing_all(places, force=force, inputs=inputs) as (path, manifest_path), naming(output):
        samples = samples_of(Files(data, conditions), recipe, losses)
        rows = _write(samples, recipe, path, lengths, progress)
        if not rows:
            raise ConfigError(f"no episode gives a row: {_said(losses)}")
        manifest = {
            **_about(data, recipe, conditions),
            "outputs": [{"path": str(output), "rows": rows, "bytes": path.stat().st_size}],
            "rows": rows,
            "left_out": losses.report(),
            "tokens": lengths.report(),
            "settings": settings_of(recipe, str(output), enough(recipe, lengths)),
            "notes": notes_of(recipe),
        }
        manifest_path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    return manifest


def transform_rollouts(
    rollouts: Iterable[Mapping[str, Any]],
    target_format: Trainer = "generic",
    algorithm: Kind = "grpo",
    **settings: Any,
) -> list[Row]:
    """Make training data of rollouts that were read as JSON; `write_jsonl` writes it.

    Args:
        rollouts: Rows of `rollouts.jsonl`, or of another shape that `llmgym data` reads.
        target_format: A trainer; "generic" gives `{"input", "output", "reward"}`, or what else an algorithm has.
        algorithm: "sft", "dpo", "grpo", "kto" or "reward-model".
        **settings: Of `Recipe`, such as `min_quality_difference=0.1`.

    Returns:
        Rows; what gives none is left out.

    Raises:
        ConfigError: A rollout is none, or there is no such format.
    """
    recipe = Recipe(algorithm, target_format, **settings)
    make = shape_of(recipe).row
    return [make(sample, recipe) for sample in samples_of(Rows(rollouts), recipe, Losses())]


def samples_of(source: Source, recipe: Recipe, losses: Losses) -> Iterator[Sample]:
    """What there is to train on."""
    if recipe.unit == "episode":
        for episode in source.episodes():
            yield from of_episode(episode, recipe, losses)
        return
    for number, group in enumerate(source.groups()):
        if recipe.unit == "pair":
            yield from _pairs(group, recipe, losses)
        else:
            yield from _task(group, number, source.environments, recipe, losses)


def _pairs(group: Group, recipe: Recipe, losses: Losses) -> Iterator[Sample]:
    known: dict[int, Trajectory] = {}

    def episode(place: int) -> Trajectory:
        if place not in known:
            if len(known) >= _HELD:
                known.clear()
            known[place] = group.episode(place)
        return known[place]

    scored = [place for place, reward in enumerate(group.rewards) if reward is not None]
    if unscored := len(group.rewards) - len(scored):
        losses.add("unscored", next(i for i, r in zip(group.ids, group.rewards, strict=True) if r is None), unscored)
    candidates = pairs_of([group.rewards[place] or 0.0 for place in scored], recipe.min_quality_difference)
    taken: set[int] = set()
    failed = 0
    for better, worse in candidates:
        if recipe.pairs is not None and (len(taken) >= 2 * recipe.pairs or failed >= _TRIES):
            return
        if recipe.pairs is not None and not taken.isdisjoint((better, worse)):
            continue
        try:
            yield of_pair(episode(scored[better]), episode(scored[worse]), recipe)
            taken |= {better, worse}
        except LeftOut as left:
            failed += 1
            losses.add(f"a pair: {left}", group.ids[scored[better]])
    if not taken and not failed and scored:
        losses.add("a task whose repeats do not differ enough", group.ids[scored[0]])


def _task(
    group: Group, number: int, environments: Mapping[str, EnvConfig], recipe: Recipe, losses: Losses
) -> Iterator[Sample]:
    rewards = [reward for reward in group.rewards if reward is not None]
    try:
        episode = group.episode(0)
        if episode.agents > 1:
            episode = of_game(map(group.episode, range(len(group.ids))))
        yield of_group(episode, rewards, number, environments, recipe)
    except LeftOut as left:
        losses.add(f"a task: {left}", group.ids[0])


def _write(
    samples: Iterable[Sample], recipe: Recipe, path: Path, lengths: Lengths, progress: Callable[[int], None] | None
) -> int:
    shape, rows = shape_of(recipe), 0
    with closing(writer_of(path, shape)) as writer:
        for sample in samples:
            writer.write(shape.row(sample, recipe))
            lengths.add(sample.length, sample.counted)
            rows += 1
            if progress:
                progress(rows)
    return rows


# --- what is said of it -------------------------------------------------------------------------


def _count_unselected(data: Dataset, losses: Losses, conditions: Sequence[Condition]) -> None:
    for problem in data.problems:
        losses.add(f"a bad row: {problem.kind}", str(problem))
    for condition, count in zip(conditions, data.count(conditions), strict=True):
        if count:
            losses.add(condition.name, count=count)


def _about(data: Dataset, recipe: Recipe, conditions: Sequence[Condition]) -> dict[str, Any]:
    return {
        "llmgym": __version__,
        "inputs": [{"path": str(index.path), "rows": index.meta.rows} for index in data.indexes],
        "recipe": asdict(recipe) | {"form": "tokens" if recipe.tokens else "messages"},
        "conditions": {condition.name: condition.text for condition in conditions},
    }


def _said(losses: Losses) -> str:
    return "; ".join(f"{lost['reason']} ({lost['count']})" for lost in losses.report()) or "there is none"


def _check_one_model(data: Dataset) -> None:
    """See that the tokens of all files are of one tokenizer, as far as their runs say.

    Raises:
        ConfigError: They are of two.
    """
    seen: dict[str, Path] = {}
    for index in data.indexes:
        known = read_description(index.path.parent)
        codec = str(known.confirmed.get("codec")) if known and known.confirmed else None
        if codec is not None:
            seen.setdefault(codec, index.path)
    if len(seen) > 1:
        one, other, *_ = seen.values()
        raise ConfigError(f"{one} and {other} have tokens of different tokenizers: export them apart")
