"""Everything that a server is made of, put together and tried out. Must not know processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Final

from crossgrade.errors import BadOption
from crossgrade.serving.server.app import Endpoints
from crossgrade.serving.server.asking import Served
from crossgrade.serving.server.engine import Engine, Sizes
from crossgrade.serving.server.model import LoadedModel, ModelSpec, loaded
from crossgrade.serving.server.text import text_of
from crossgrade.serving.server.trial import try_out

_USUAL_MOST: Final = 4096


def started(
    model: Mapping[str, Any], sizes: Mapping[str, Any], tokenizer: str, trial_s: float,
    write: Callable[[str], object],
) -> Endpoints:  # fmt: skip
    """Return endpoints around a model that runs; arguments as `job.serve` has them.

    Raises:
        CrossgradeError: the model cannot be built, held or served, or fails the trial.
    """
    spec = ModelSpec(**model)
    ready = loaded(spec)
    room = _sizes(sizes, ready, spec.name)
    text = text_of(tokenizer, ready.vocabulary)
    engine = Engine(ready, room)
    engine.start()
    try:
        try_out(engine, spec.name, trial_s)
    except BaseException:
        engine.stop()
        raise
    served = Served(
        model=spec.name, vocabulary=ready.vocabulary, most_tokens=room.most_tokens, text=text
    )
    facts = {
        **ready.facts, **engine.facts, "slots": str(room.slots),
        "most tokens": str(room.most_tokens), "chunk": f"{room.chunk} tokens",
        "tokenizer": text.told, "chat template": "none: lines of role and content",
    }  # fmt: skip
    return Endpoints(
        served=served, engine=engine, facts=facts, version=version("crossgrade"), write=write
    )


def _sizes(given: Mapping[str, Any], model: LoadedModel, name: str) -> Sizes:
    """Return the sizes, with what the model allows where nothing was said.

    Raises:
        BadOption: more than it allows.
    """
    allowed = model.most_positions
    most = given["most_tokens"]
    if most is None:
        most = min(allowed or _USUAL_MOST, _USUAL_MOST)
    elif allowed is not None and most > allowed:
        raise BadOption(
            f"{most} tokens are more than the {allowed} positions of {name}",
            hint="ask for fewer tokens per request",
        )
    return Sizes(slots=given["slots"], most_tokens=most, chunk=given["chunk"])
