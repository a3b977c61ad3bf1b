"""How likely a server finds tokens that it is given: what losses are made of."""

from collections.abc import Sequence

from mixlm.errors import InputError
from mixlm.generation.server.completions import Completions, Form, NoIds, Refused
from mixlm.generation.server.model_server import NoServer
from mixlm.generation.server.transport.connection import PASSING, NoAnswer


def log_probabilities(model: Completions, ids: Sequence[int]) -> list[float] | None:
    """Return of each token but the first the logarithm of its probability, given all before it.

    The last one is written by the server, which has no choice, so that all of its context can be used.

    Args:
        model: The server's.
        ids: Two tokens at least.

    Returns:
        As many as there are tokens, less one; None if the server does not tell.

    Raises:
        NoServer: If it answers nobody.
        InputError: If it fails for the moment, after all tries.
    """
    *given, last = ids
    only = {"max_tokens": 1, "allowed_token_ids": [last], "temperature": 0}
    try:
        written = model.complete({"prompt": given, **only, "logprobs": 0, "prompt_logprobs": 0}, Form())
    except NoServer:
        raise
    except (Refused, NoAnswer) as error:
        if isinstance(error, Refused) and error.status not in PASSING:
            return None
        raise InputError(f"{model.server.url}: {error}; the same command asks again") from None
    except (NoIds, InputError):
        return None
    known = written.ids == [last] and written.prompt_logprobs is not None
    return [*written.prompt_logprobs, *written.logprobs] if known else None
