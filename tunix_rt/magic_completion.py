"""What the magics offer at Tab: options, ids, sources, keys of meta, scorers and formats."""

import re
from argparse import SUPPRESS
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult

from tunix_rt.analysis import FLAGS, SCORERS
from tunix_rt.formats import READABLE, WRITERS, names_in
from tunix_rt.store import TraceStore
from tunix_rt.store.meta_filter import known_keys
from tunix_rt.store.query.order import COLUMNS
from tunix_rt.store.scores.scorers import ALL_FLAGS
from tunix_rt.store.terms import quoted

_COMPLETED_IDS = 20
_OWN_LINE = re.compile(
    r"^\s*(?:\w+\s*=\s*)?%%?"
    r"(trace_(?:store|load|watch|score|flags|groups|compare|export|delete|sql|app)|traces|trace)\s(.*)$",
    re.DOTALL,
)


def completed(magics: Any, context: CompletionContext) -> SimpleMatcherResult:
    """What fits behind the cursor in a line of one of these magics, over the store of them."""
    found = _OWN_LINE.match(context.text_until_cursor)
    if found is None:
        return SimpleMatcherResult(completions=[])
    magic, before = found[1], found[2].split()
    if context.token and before:
        before.pop()
    previous, token = before[-1] if before else "", context.token
    if token.startswith("-"):
        parser = getattr(getattr(magics, magic), "parser", None)
        actions = parser._actions if parser else ()  # noqa: SLF001
        offered = [flag for action in actions if action.help != SUPPRESS for flag in action.option_strings]
    else:
        offered = _offered(magics.store, magic, previous)
    fitting = [SimpleCompletion(text=text, type="trace") for text in offered if text.startswith(token)]
    # Names of variables and files fit neither an id nor a flag.
    return SimpleMatcherResult(completions=fitting, suppress=bool(fitting))


def _offered(store: TraceStore, magic: str, previous: str) -> list[str]:
    if previous == "--format":
        return names_in(WRITERS if magic == "trace_export" else READABLE)
    if previous in ("--source", "--meta", "--score", "--order-by", "--columns"):
        return _values(store, previous)
    if magic in ("trace_score", "trace_flags") or previous == "--scores":
        built_in = {"trace_score": (*SCORERS, *FLAGS), "trace_flags": ALL_FLAGS}
        return list(built_in.get(magic, (*SCORERS, *ALL_FLAGS)))
    if magic in ("trace", "trace_compare", "trace_delete"):
        return ["latest", *(str(record.id) for record in store.page(limit=_COMPLETED_IDS))]
    return []


def _values(store: TraceStore, option: str) -> list[str]:
    if option == "--source":
        return [source for source, _ in store.info().sources if source]
    if option == "--score":
        return [*SCORERS, *FLAGS]
    keys = known_keys(lambda query: store.sql(query).rows)
    if option == "--meta":
        return [quoted(key) for key in keys]
    return [*COLUMNS, *(f"meta.{key}" for key in keys), *(f"score.{name}" for name in (*SCORERS, *FLAGS))]
