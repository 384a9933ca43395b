"""Which prompts of an evaluation set are in the store: those of which N words in a row are in a trace."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from tunix_rt import render
from tunix_rt.analysis.statistics import Estimate, wilson
from tunix_rt.store.engine.access import Access
from tunix_rt.store.engine.spill import spill_folder
from tunix_rt.store.filters import Filters
from tunix_rt.store.progress_bar import Progress, show_progress
from tunix_rt.store.query.cursor import whole_number
from tunix_rt.store.query.order import NEWEST_FIRST
from tunix_rt.store.query.page import Page, Search
from tunix_rt.store.query.scan import scan
from tunix_rt.store.scores.near_copies import pieces

if TYPE_CHECKING:
    import pandas as pd

FEWEST_WORDS, MOST_WORDS = 4, 50
_SHOWN = 50
_MEMORY_LIMIT = "512MB"
# Words in a row that more prompts of the set share are its template, and no evidence (Brown et al. 2020, appendix C).
_MOST_PROMPTS = 10
# A trace of a group shares what all of it do: of a prompt, this number of traces is kept.
_MOST_IDS = 1_000

_STORED = """
id::varchar as id,
prompt,
prompt || chr(10) || array_to_string(list_transform(steps, lambda s: s.content), chr(10)) || chr(10)
    || coalesce(final_answer, '') as text
"""
_WORDS = (
    "list_filter(string_split(regexp_replace(lower({0}), '[^\\p{{L}}\\p{{N}}]+', ' ', 'g'), ' '), lambda w: w <> '')"
)
_SET = """
create table prompts as
select row_number() over () as nr, left(any_value(prompt), 200) as prompt, words, hash(words) as digest
from (select prompt, {words} as words from given)
where len(words) > 0
group by words;
create table grams as
select gram, nr, word
from (
    select nr, unnest({grams}) as gram, generate_subscripts({grams}, 1) as word
    from (select nr, list_transform(words, lambda w: hash(w)) as hashes from prompts where len(words) >= {n})
)
qualify count(distinct nr) over (partition by gram) <= {most};
create table hits (nr bigint, id varchar, shared bigint, word bigint, complete boolean);
"""
_HITS = """
insert into hits
select nr, id, count(distinct word), min(word), false
from (select distinct id, unnest({grams}) as gram from (
    select id, list_transform({words_of_text}, lambda w: hash(w)) as hashes from batch
))
join grams using (gram)
group by nr, id;
insert into hits
select nr, id, 0, 1, true
from (select id, hash({words_of_prompt}) as digest from batch)
join prompts using (digest);
"""
_FOUND = f"""
with by_trace as (
    select nr, id, max(shared) as n_shared, arg_max(word, shared) as first_word, bool_or(complete) as is_complete
    from hits
    group by nr, id
),
by_prompt as (
    select
        nr,
        bool_or(is_complete) as complete,
        max(n_shared) as shared,
        arg_max(first_word, n_shared) as first_word,
        count(*) as traces,
        list(id order by is_complete desc, n_shared desc, id desc)[:{_MOST_IDS}] as ids
    from by_trace
    group by nr
),
sizes as (select nr, count(*) as n_grams from grams group by nr)
select
    prompt,
    complete,
    shared,
    coalesce(n_grams, 0) as "of",
    array_to_string(list_slice(words, first_word, first_word + if(shared = 0, {MOST_WORDS}, ?) - 1), ' ') as evidence,
    traces,
    ids
from by_prompt
join prompts using (nr)
left join sizes using (nr)
order by complete desc, shared / nullif(n_grams, 0) desc nulls last, nr
"""


@render.shows_summary
class Overlap:
    """The `found` prompts, of `n_prompts` different ones of a set, that share `n` words in a row with traces.

    `df()` and `arrow()` have a row for each, the clearest first: the `prompt` (up to 200 characters), whether it is the
    `complete` prompt of a trace, how many runs of words are `shared` `of` those that it has, the first of them as
    `evidence`, the number of `traces`, and their `ids` (up to 1,000). `page(index)` lists these traces.
    """

    def __init__(self, table: pa.Table, n_prompts: int, n: int, get_page: Callable[..., Page]) -> None:
        self._found = table
        self._get_page = get_page
        self.n_prompts = n_prompts
        self.n = n

    @property
    def found(self) -> int:
        """How many prompts of the set were found."""
        return len(self._found)

    @property
    def share(self) -> Estimate:
        """The share of the prompts that were found."""
        return wilson(self.found, self.n_prompts)

    def page(self, index: int, *, limit: int = 20) -> Page:
        """A page of the traces that the prompt with this index was found in; QueryInvalid if there is none."""
        whole_number("index", index, 0, self.found - 1)
        return self._get_page(ids=self._found["ids"][index].as_py(), limit=limit, **NEWEST_FIRST)

    def arrow(self) -> pa.Table:
        """The prompts that were found, as an Arrow table."""
        return self._found

    def df(self) -> "pd.DataFrame":
        """The prompts that were found, as a pandas data frame; pandas must be installed."""
        return self._found.to_pandas()

    def to_dict(self) -> dict[str, Any]:
        """The counts and the first 50 prompts as values of JSON."""
        rows = self._found.slice(0, _SHOWN).to_pylist()
        return {"n": self.n, "n_prompts": self.n_prompts, "found": self.found, "data": rows}

    @property
    def _facts(self) -> list[tuple[str, str]]:
        return [
            ("prompts", f"{self.n_prompts:,} different ones"),
            ("found by", f"{self.n} words in a row"),
            ("found", render.share(self.found, self.n_prompts, self.share)),
        ]

    @property
    def _tables(self) -> list[render.Shown]:
        shown = self._found.slice(0, _SHOWN).to_pylist()
        examples = render.short_ids([row["ids"][:1] for row in shown])
        rows = [
            {
                "i": f"{at}",
                "prompt": row["prompt"],
                "shared": "all of it" if row["complete"] else f"{row['shared']} of {row['of']}",
                "evidence": row["evidence"],
                "traces": row["traces"],
                "example": ids,
            }
            for at, (row, ids) in enumerate(zip(shown, examples, strict=True))
        ]
        caption = f"{render.count(self.found, 'prompt')} found · traces of one: .page(i) · as data: .df()"
        if len(rows) < self.found:
            caption = f"showing {len(rows)} of {caption}"
        return [render.Shown.of(rows, self.found, caption, right=("i", "shared"))]

    def __repr__(self) -> str:
        return f"<Overlap: {self.found:,} of {self.n_prompts:,} prompts>"


def overlap(
    session: Access, given: Access, *, n: int, filters: Filters, progress: Progress, get_page: Callable[..., Page]
) -> Overlap:
    """The prompts of the store `given` in the traces of another that pass the filters; see `TraceStore.overlap`."""
    whole_number("n", n, FEWEST_WORDS, MOST_WORDS)
    # Empty where a text has fewer words: none of the runs is complete.
    runs = ", ".join(f"hashes[{first}:len(hashes) - {n - first}]" for first in range(1, n + 1))
    grams = f"if(len(hashes) < {n}, [], list_transform(list_zip({runs}), lambda run: hash(run)))"
    of = partial(_WORDS.format)
    hits = _HITS.format(grams=grams, words_of_text=of("text"), words_of_prompt=of("prompt"))
    prompts = pa.Table.from_batches(scan(given, "prompt", Filters(), newest_first=False))
    config: dict[str, Any] = {"memory_limit": _MEMORY_LIMIT, "temp_directory": str(spill_folder(session.path))}
    work = duckdb.connect(config=config)
    try:
        work.execute("set enable_progress_bar = false")
        work.register("given", prompts)
        work.execute(_SET.format(words=of("prompt"), grams=grams, n=n, most=_MOST_PROMPTS))
        with session.cursor() as cursor, filters.query_errors(cursor, session.path):
            n_traces = Search(cursor, session.time_index(cursor), filters).count()
        with show_progress(progress, n_traces, "comparing") as advance:
            for batch in scan(session, _STORED, filters, newest_first=False):
                for piece in pieces(batch):
                    work.register("batch", piece)
                    work.execute(hits)
                advance(advance.done + len(batch))
        found = work.sql(_FOUND, params=[n]).to_arrow_table()
        n_prompts = int(work.execute("select count(*) from prompts").fetchall()[0][0])
    finally:
        work.close()
    return Overlap(found, n_prompts, n, get_page)
