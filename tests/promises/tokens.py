"""What a text costs a model, in o200k tokens; a model of another maker counts a little differently."""

from __future__ import annotations

import json
import warnings
from typing import Any

with warnings.catch_warnings():
    # bpe-openai 0.1.4 opens its tables by a function that Python 3.11 deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    from bpe_openai import get_encoding

    O200K = get_encoding("o200k_base")


def tokens(value: Any, separators: tuple[str, str] | None = (",", ":")) -> int:
    """The tokens of a text, or of a value written as JSON."""
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=separators)
    return len(O200K.encode(shown))
