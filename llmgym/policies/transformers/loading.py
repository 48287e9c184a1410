"""Loading a model, and proving that it can be batched."""

from __future__ import annotations

from typing import Any, Literal

from llmgym.errors import ConfigError, LLMGymError, MissingExtraError, PolicyError
from llmgym.policies.models import resolve
from llmgym.policies.transformers.runner import Runner

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


def load(name: str, device: str | None, dtype: Dtype) -> tuple[Any, Any]:
    """Load a model in evaluation mode, and its tokenizer.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        PolicyError: The model cannot be found or loaded.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtraError("TransformersPolicy", "transformers") from error
    hf: Any = transformers  # partly typed
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    wanted = "float32" if dtype == "auto" and target.type == "cpu" else dtype
    try:
        folder = resolve(name)
        hf.utils.logging.disable_progress_bar()
        tokenizer = hf.AutoTokenizer.from_pretrained(folder)
        model = hf.AutoModelForCausalLM.from_pretrained(folder, dtype=wanted)
        return model.to(target).eval(), tokenizer
    except LLMGymError:
        raise
    except Exception as error:  # a wrong name, a broken checkpoint, no memory: all end the start
        raise PolicyError(f"cannot load {name!r} with transformers on {target}: {error}") from error


def check_loaded(model: Any, tokenizer: Any) -> Any:
    """Give a model that is loaded already, if it can be sampled from with this tokenizer.

    Raises:
        ConfigError: It is in training mode, where dropout would falsify log-probabilities, or lacks tokens.
    """
    if model.training:
        raise ConfigError(f"{type(model).__name__} is in training mode; call its eval() before sampling from it")
    known = int(model.config.get_text_config().vocab_size)
    if len(tokenizer) > known:
        raise ConfigError(
            f"the tokenizer has {len(tokenizer)} tokens, but {type(model).__name__} knows {known}; load both from the "
            "same folder, or call resize_token_embeddings()"
        )
    return model


def context_of(model: Any, name: str, wanted: int) -> int:
    """Return the context length to use: what is wanted, or, where that is 0, what the model was made for.

    Raises:
        PolicyError: None is wanted, and the model does not say.
        ConfigError: More is wanted than the model was made for.
    """
    made_for = getattr(model.config.get_text_config(), "max_position_embeddings", None) or wanted
    if not made_for:
        raise PolicyError(f"{name} does not say how long its context is; give context_length")
    if wanted > made_for:
        raise ConfigError(f"context_length={wanted}, but {name} is made for {made_for}")
    return wanted or made_for


def prove(runner: Runner, name: str) -> None:
    """Compare a little ragged batch with plain forward passes.

    Models that ignore the mask or the positions they are given, or that keep a state other than keys and values,
    would sample from a wrong distribution without a word.

    Raises:
        PolicyError: The model is one of them.
    """
    import torch

    prompts = [[(7 * i + 3) % runner.vocabulary for i in range(length)] for length in range(9, 1, -1)]
    lengths = [len(ids) - 1 for ids in prompts]
    try:
        with torch.inference_mode():
            runner.store.reserve(len(prompts), 10)
            runner.prefill(0, [ids[:-1] for ids in prompts], [0] * len(prompts))
            logits = runner.logits([ids[-1] for ids in prompts], lengths)
            expected = torch.stack([runner.plain_logits(ids) for ids in prompts]).float().softmax(-1)
        runner.store.clear()
        error = float((logits.float().softmax(-1) - expected).abs().sum(-1).mean() / 2)
    except Exception as cause:  # whatever an unexpected cache makes of a model's code
        raise PolicyError(_UNFIT.format(name=name, cause=repr(cause))) from cause
    if not error < (0.01 if logits.dtype == torch.float32 else 0.1):  # bfloat16 alone is off by 0.02 to 0.05
        raise PolicyError(_UNFIT.format(name=name, cause=f"probabilities are off by {error:.3f}"))


_UNFIT = "the architecture of {name} cannot be batched by TransformersPolicy ({cause}); serve it with vllm:{name}"
