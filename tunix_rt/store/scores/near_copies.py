"""Near-copies among many texts: 3-word shingles, one permutation of 64 bins, 16 bands, then the exact Jaccard index.

Only SQL, in a DuckDB of its own that spills beside the store: it takes 400 bytes of memory or disk for each text, and
1 kB more for each candidate.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import gettempdir
from typing import Any, NamedTuple, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tunix_rt.store.engine.spill import spill_folder

# Of the pairs; what is more goes to disk, as most of the 400 bytes of each of 1,000,000 texts does.
_MEMORY_LIMIT = "256MB"
# Of the sketches. Two texts of the most words, a million each, need between 96 and 128 MB.
_SKETCHES_MEMORY = "128MB"
_BINS, _BANDS = 64, 16
_IN_BAND = _BINS // _BANDS
# Of two texts with a Jaccard index of .8, this many of the 64 minima or fewer differ, but for 1 in 50,000 pairs; of
# those with .35, which make up nearly all pairs that share a band, 1 in 1,000 gets through. So few are compared.
_MOST_UNLIKE = 26
_TEXT_BYTES = 2**20
# Of 10 MB the words alone would take more than the memory limit.
_MOST_CHARS = 2_000_000
_THREADS = 2
_MEMBERS = """
create table members (nr integer, id uuid, prompt ubigint, "group" ubigint);
create table bands (nr integer, part utinyint, band ubigint, minima usmallint);
create table candidates (one integer, other integer, inside boolean);
create table shingled (nr integer, shingles uinteger[]);
"""
_TO_MEMBERS = 'insert into members select nr, id, prompt, "group" from given'
_TO_BANDS = "insert into bands select nr + ?::integer, part, band, minima from given"

# A text of one or two words is one shingle. Upper and lower case are one. What is not a space is replaced one by one:
# `translate` takes as long as all the rest.
_SHINGLES = f"""
select nr, hash(one, two, three) & 4294967295 as shingle
from (
    select
        nr,
        unnest(words[:greatest(len(words) - 2, 1)]) as one,
        unnest(words[2:greatest(len(words) - 1, 2)]) as two,
        unnest(words[3:]) as three
    from (
        select nr, list_filter(list_transform(split, lambda w: hash(w)), lambda h: h <> hash('')) as words
        from (
            select
                nr,
                string_split(
                    replace(
                        replace(replace(lower(left(text, {_MOST_CHARS})), chr(10), ' '), chr(9), ' '), chr(13), ' '
                    ),
                    ' '
                ) as split
            from {{texts}}
        )
    )
)
"""

# The least shingle of each of the 64 bins: a bin that is empty in both of two texts says nothing against them. Shingles
# that come twice change no minimum. Of each minimum four bits are kept, by which pairs are told apart.
_BANDED = f"""
select
    nr,
    bin // {_IN_BAND} as part,
    bit_xor(hash(bin, least)) as band,
    bit_xor((hash(least) & 15) << (4 * (bin % {_IN_BAND}))) as minima
from (
    select nr, shingle % {_BINS} as bin, min(shingle) as least
    from ({_SHINGLES.format(texts="batch")})
    group by all
)
group by nr, bin // {_IN_BAND}
"""
_SHINGLED = f"""
select nr, list(distinct shingle::uinteger) as shingles
from ({_SHINGLES.format(texts="(select nr, text from batch join wanted using (id))")})
group by nr
"""
_WANTED = """
select nr, id
from members
where nr in (select one from candidates union all select other from candidates)
"""

# Four bits of each of the 64 minima, in four numbers.
_SIGNED = """
create table signed as
select nr, prompt, "group", {}
from members
join (select nr, {} from bands group by nr) using (nr)
"""
_SIGNS = [f"sign_{n}" for n in range(_BANDS // 4)]
_TO_SIGNED = _SIGNED.format(
    ", ".join(_SIGNS),
    ", ".join(
        f"coalesce(bit_xor(minima::ubigint << (16 * (part % 4))) filter (part // 4 = {n}), 0) as {sign}"
        for n, sign in enumerate(_SIGNS)
    ),
)
# How many of the minima differ: in how many groups of four bits is there one that does.
_UNLIKE = " + ".join(
    "bit_count((x | (x >> 1) | (x >> 2) | (x >> 3)) & 1229782938247303441)".replace("x", f"xor(a.{sign}, b.{sign})")
    for sign in _SIGNS
)

# The first text of a bucket is compared with its others: of one group with those of the group, and of one prompt with
# those of other prompts. The first of a second prompt is there for the prompt of the first. One band after the other,
# so that memory is needed for a sixteenth of them; only few of the texts share theirs with another.
_TO_CANDIDATES = f"""
insert into candidates
with placed as materialized (
    select band, nr, prompt, "group"
    from bands
    join members using (nr)
    where part = $part and band in (select band from bands where part = $part group by band having count(*) > 1)
),
grouped as (select band, "group", min(nr) as one from placed group by all having count(*) > 1),
buckets as (
    select band, min(nr) as one, arg_min(prompt, nr) as prompt
    from placed
    group by band
    having min(prompt) <> max(prompt)
),
seconds as (
    select band, min(placed.nr) as one
    from placed
    join buckets using (band)
    where placed.prompt <> buckets.prompt
    group by band
),
pairs as (
    select one, nr as other, true as inside from placed join grouped using (band, "group") where nr > one
    union all
    select buckets.one, nr, false
    from placed
    join buckets using (band)
    where placed.prompt <> buckets.prompt
    union all
    select seconds.one, nr, false
    from placed
    join buckets using (band)
    join seconds using (band)
    where placed.prompt = buckets.prompt and nr > seconds.one
)
select one, other, inside
from pairs
join signed as a on a.nr = one
join signed as b on b.nr = other
where {_UNLIKE} <= {_MOST_UNLIKE}
"""
_DISTINCT = "create or replace table candidates as select distinct one, other, inside from candidates"

_NEAREST = """
with compared as (
    select one, other, inside, len(list_intersect(a.shingles, b.shingles)) as shared, len(a.shingles) as of_a,
        len(b.shingles) as of_b
    from candidates
    join shingled as a on a.nr = one
    join shingled as b on b.nr = other
),
near as (
    select other, inside, arg_max(one, (similarity, -one)) as one, max(similarity) as similarity
    from (select *, shared / (of_a + of_b - shared) as similarity from compared)
    where similarity >= ?
    group by all
)
select other.id, near.inside, one.id as nearest, similarity
from near
join members as one on one.nr = near.one
join members as other on other.nr = near.other
order by near.other
"""

Result = TypeVar("Result")


def pieces(batch: pa.RecordBatch) -> Iterator[pa.Table]:
    """The rows in runs of at most 1 MB of `text`, or of one row: their words take forty to eighty times the memory."""
    first, held = 0, 0
    for at, size in enumerate(pc.binary_length(batch["text"]).to_pylist()):
        if held and held + size > _TEXT_BYTES:
            yield pa.Table.from_batches([batch.slice(first, at - first)])
            first, held = at, 0
        held += size
    yield pa.Table.from_batches([batch.slice(first)])


class Sketch(NamedTuple):
    """Of some texts the `members` (id, prompt, group), in order, and their `bands` (index `nr`, part, hash, minima)."""

    members: pa.Table
    bands: pa.Table


def sketches(batches: Iterable[pa.RecordBatch]) -> Iterator[Sketch]:
    """The sketches of texts, in order: `id`, `prompt` and `group` (hashes), `text`."""

    def sketch(cursor: duckdb.DuckDBPyConnection, piece: pa.Table) -> Sketch:
        numbered = piece.append_column("nr", pa.array(range(len(piece)), pa.int32()))
        cursor.register("batch", numbered)
        return Sketch(piece.drop_columns(["text"]), cursor.sql(_BANDED).to_arrow_table())

    return _of_pieces(sketch, batches)


def shingled(wanted: pa.Table, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The shingles of those texts (`id`, `text`) that are `wanted`: `nr`, `shingles`."""

    def shingle(cursor: duckdb.DuckDBPyConnection, piece: pa.Table) -> pa.Table:
        cursor.register("batch", piece)
        cursor.register("wanted", wanted)
        return cursor.sql(_SHINGLED).to_arrow_table()

    return _of_pieces(shingle, batches)


def _of_pieces(
    work: Callable[[duckdb.DuckDBPyConnection, pa.Table], Result], batches: Iterable[pa.RecordBatch]
) -> Iterator[Result]:
    def one(piece: pa.Table) -> Result:
        with connection.cursor() as cursor:
            return work(cursor, piece)

    # Without a folder of its own DuckDB would spill into the current one. It may be another machine than the store's.
    spill = spill_folder(Path(gettempdir(), "sketches"))
    # DuckDB has one core at work on a piece, which is less than it divides among its threads.
    with closing(_connected(_SKETCHES_MEMORY, spill)) as connection, ThreadPoolExecutor(_THREADS) as pool:
        for batch in batches:
            yield from pool.map(one, pieces(batch))


def _connected(memory_limit: str, spill: Path) -> duckdb.DuckDBPyConnection:
    config: dict[str, Any] = {"memory_limit": memory_limit, "temp_directory": str(spill)}
    config |= {"arrow_lossless_conversion": True, "preserve_insertion_order": False}
    connection = duckdb.connect(config=config)
    connection.execute("set enable_progress_bar = false")
    return connection


class NearCopies:
    """Finds texts of which an earlier one is nearly a copy: `add` all sketches, `pair`, `compare` what is `wanted`.

    `close` ends it; so does whatever ends this object.
    """

    def __init__(self, store: Path) -> None:
        self._duckdb = _connected(_MEMORY_LIMIT, spill_folder(store))
        self._duckdb.execute(_MEMBERS)
        self.close = weakref.finalize(self, self._duckdb.close)
        self._n = 0

    def add(self, sketch: Sketch) -> None:
        """Adds texts, oldest first."""
        numbers = pa.array(range(self._n, self._n + len(sketch.members)), pa.int32())
        self._insert(_TO_MEMBERS, sketch.members.append_column("nr", numbers))
        self._insert(_TO_BANDS, sketch.bands, self._n)
        self._n += len(sketch.members)

    def pair(self) -> int:
        """Finds the candidates among all that were added, and returns how many pairs there are."""
        self._duckdb.execute(_TO_SIGNED)
        for part in range(_BANDS):
            self._duckdb.execute(_TO_CANDIDATES, {"part": part})
        self._duckdb.execute("drop table bands; drop table signed")
        self._duckdb.execute(_DISTINCT)
        return int(self._duckdb.execute("select count(*) from candidates").fetchall()[0][0])

    def wanted(self) -> pa.Table:
        """The candidates, for `shingled`."""
        return self._duckdb.sql(_WANTED).to_arrow_table()

    def compare(self, shingles: pa.Table) -> None:
        """Adds the shingles of candidates."""
        self._insert("insert into shingled select nr, shingles from given", shingles)

    def _insert(self, query: str, given: pa.Table, *values: int) -> None:
        self._duckdb.register("given", given)
        try:
            self._duckdb.execute(query, values)
        finally:
            self._duckdb.unregister("given")

    def found(self, threshold: float) -> pa.Table:
        """The texts with an earlier near-copy: `id`, `inside` its group or of another prompt, `nearest`, `similarity`.

        `similarity` is the Jaccard index of the 3-word shingles, from `threshold` to 1.
        """
        return self._duckdb.sql(_NEAREST, params=[threshold]).to_arrow_table()
