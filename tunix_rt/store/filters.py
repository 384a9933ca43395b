"""What to select: one table of filters for every call, the command line, the magics, HTTP and the forms.

A filter is one field of `FilterArgs`. Everything that accepts or lists filters is made from that table.
"""

import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypedDict, get_type_hints
from uuid import UUID

from tunix_rt.errors import QueryInvalid
from tunix_rt.store.filter_values import IDS, NUMBER, SQL, STRING, TIME, WHOLE_NUMBER, Kind, shown
from tunix_rt.store.meta_filter import META, keys_needed, meta_conditions
from tunix_rt.store.score_filter import SCORES, score_conditions, scorers_needed
from tunix_rt.store.terms import Term, compares

if TYPE_CHECKING:
    import duckdb

_BEGIN = "begin transaction read only"
_VERSIONED = re.compile(r"(.+)@([1-9][0-9]{0,8})", re.DOTALL)
_SELECTED = """
id in (
    select id from (
        select trace_id as id, created_at from selected
        where name = ? and version = coalesce(?, (select max(version) from selections where name = ?))
    ){bounds}
)
"""


class Condition(NamedTuple):
    """A part of a WHERE clause and the values it binds; if it is `bounded`, `{bounds}` in it is a clause of bounds.

    A bound that is `fine` cuts off a few rows within the others. For a table beside `traces` it is left out: it would
    take longer than to read the rows.
    """

    sql: str
    values: tuple[Any, ...] = ()
    bounded: bool = False
    fine: bool = False


def where(*conditions: Condition) -> tuple[str, list[Any]]:
    """The WHERE clause of all the conditions, and the values it binds."""
    if not conditions:
        return "", []
    clause = " and ".join(condition.sql for condition in conditions)
    return f" where {clause}", [value for condition in conditions for value in condition.values]


# RE2 takes a second to compile 50,000 characters that are not ASCII, and does so for the steps of each trace.
_LONG_TEXT = 1_000


def _contains(text: str) -> Iterator[Condition]:
    # RE2's case folding was 1.7 times as fast as lower() over 1,000,000 traces; a text without case needs neither.
    if text.lower() == text.upper():
        found, value = "contains({0}, ?)", text
    elif len(text) > _LONG_TEXT:
        found, value = "contains(lower({0}), lower(?))", text
    else:
        found, value = "regexp_matches({0}, ?, 'i')", _literal_pattern(text)
    in_steps = f"len(list_filter(steps, lambda s: {found.format('s.content')})) > 0"
    yield Condition(
        f"({found.format('prompt')} or coalesce({found.format('final_answer')}, false) or {in_steps})", (value,) * 3
    )


def _literal_pattern(text: str) -> str:
    # RE2 knows no \Q…\E here, and Python's escapes for plain ASCII signs are its own.
    return re.sub(r"([^\w\s])", r"\\\1", text, flags=re.ASCII) if text.isascii() else re.escape(text)


class InForm(NamedTuple):
    """A filter's field in a form: its caption, its name for screen readers, and whether it continues the one before."""

    caption: str
    label: str
    beside: bool = False


@dataclass(frozen=True, kw_only=True)
class FilterField:
    """A filter: its help in one line, the kind of its values, and its condition in SQL.

    `sql` is a comparison with one `?`, or makes the conditions from a checked value. `needs` are the conditions without
    which no trace passes, in words. `flag` is the option where it is not the filter's name; `form` is None where a form
    has no field of its own for it.
    """

    help: str
    kind: Kind
    sql: str | Callable[[Any], Iterable[Condition]]
    needs: Callable[[Any], Iterable[tuple[str, Condition]]] = lambda _: ()
    flag: str | None = None
    form: InForm | None = None
    http: bool = True

    def conditions(self, name: str, value: Any) -> Iterable[Condition]:
        """What the filter with this name means; QueryInvalid for a value of another kind."""
        checked = self.kind.check(name, value)
        return [Condition(self.sql, (checked,))] if isinstance(self.sql, str) else self.sql(checked)


def _in_meta(key: str, kind: Kind, caption: str) -> FilterField:
    return FilterField(
        help=f"the value of meta.{key}",
        kind=kind,
        sql=lambda value: _meta([Term(key, "=", value)]),
        needs=lambda value: _in_words(keys_needed([Term(key, "=", value)])),
        form=InForm(caption, caption),
    )


def _meta(terms: list[Term]) -> Iterator[Condition]:
    return (Condition(*one) for one in meta_conditions(terms))


def _in_words(needed: Iterable[tuple[str, str, tuple[Any, ...]]]) -> Iterator[tuple[str, Condition]]:
    return ((what, Condition(sql, values, "{bounds}" in sql)) for what, sql, values in needed)


def _selected(name: str) -> Condition:
    """The condition that a trace is in a stored selection: in the newest version, or in the one behind an @."""
    versioned = _VERSIONED.fullmatch(name)
    name, version = (versioned[1], int(versioned[2])) if versioned else (name, None)
    return Condition(_SELECTED, (name, version, name), bounded=True)


class FilterArgs(TypedDict, total=False):
    """The filters: a type checker reads the types, all others the table in the annotations. None means no filter."""

    text: Annotated[
        str | None,
        FilterField(help="a string in prompt, steps or answer, in upper or lower case", kind=STRING, sql=_contains),
    ]
    source: Annotated[
        str | None,
        FilterField(help="the value of meta.source", kind=STRING, sql="source = ?", form=InForm("Source", "Source")),
    ]
    model: Annotated[str | None, _in_meta("model", STRING, "Model")]
    run: Annotated[str | None, _in_meta("run", STRING, "Run")]
    training_step: Annotated[float | None, _in_meta("training_step", NUMBER, "Training step")]
    since: Annotated[
        datetime | date | timedelta | str | None,
        FilterField(
            help="created at or after this time (UTC unless it has an offset): 2026-01-31, 2026-01-31T12:00:00Z, "
            "or 30m, 2h, 7d ago",
            kind=TIME,
            sql="created_at >= ?",
            form=InForm("Created since, UTC", "Created since, UTC"),
        ),
    ]
    until: Annotated[
        datetime | date | timedelta | str | None,
        FilterField(
            help="created before this time",
            kind=TIME,
            sql="created_at < ?",
            form=InForm("before", "Created before, UTC", beside=True),
        ),
    ]
    min_steps: Annotated[
        int | None,
        FilterField(
            help="at least N steps", kind=WHOLE_NUMBER, sql="n_steps >= ?", form=InForm("Steps", "At least N steps")
        ),
    ]
    max_steps: Annotated[
        int | None,
        FilterField(
            help="at most N steps",
            kind=WHOLE_NUMBER,
            sql="n_steps <= ?",
            form=InForm("to", "At most N steps", beside=True),
        ),
    ]
    min_chars: Annotated[
        int | None,
        FilterField(
            help="at least N characters in prompt, steps and answer together",
            kind=WHOLE_NUMBER,
            sql="n_chars >= ?",
            form=InForm("Characters", "At least N characters"),
        ),
    ]
    max_chars: Annotated[
        int | None,
        FilterField(
            help="at most N characters in prompt, steps and answer together",
            kind=WHOLE_NUMBER,
            sql="n_chars <= ?",
            form=InForm("to", "At most N characters", beside=True),
        ),
    ]
    trace_version: Annotated[
        str | None, FilterField(help="the trace_version, such as 1.1", kind=STRING, sql="trace_version = ?")
    ]
    meta: Annotated[
        Mapping[str, Any] | Iterable[str] | str | None,
        FilterField(
            help="values in meta: reward=1, reward<1, model!=toy-1b, !truncated (no such key); dots reach inside",
            kind=META,
            sql=_meta,
            needs=lambda terms: _in_words(keys_needed(terms)),
            form=InForm("Meta", "Meta"),
        ),
    ]
    score: Annotated[
        Mapping[str, Any] | Iterable[str] | str | None,
        FilterField(
            help="what scorers say: loop, !answer, structure<50, verdict=good, answer=null (no score)",
            kind=SCORES,
            sql=lambda terms: [Condition(*one, bounded=True) for one in score_conditions(terms)],
            needs=lambda terms: _in_words(scorers_needed(terms)),
            form=InForm("Scores", "Scores"),
        ),
    ]
    selection: Annotated[
        str | None,
        FilterField(
            help="the name of a stored selection: train, or train@2 for its second version",
            kind=STRING,
            sql=lambda name: [_selected(name)],
            needs=lambda name: [(f"been selected as {shown(name)}", _selected(name))],
        ),
    ]
    # Over HTTP a trace has a route, and a client sends no SQL.
    ids: Annotated[
        Iterable[UUID | str] | UUID | str | None,
        FilterField(
            help="full ids of traces", kind=IDS, sql="id in (select unnest(?::uuid[]))", flag="--id", http=False
        ),
    ]
    where: Annotated[
        str | None,
        FilterField(
            help='a SQL expression over the columns, such as "length(prompt) > 1000"',
            kind=SQL,
            sql=lambda expression: [Condition(f"({expression}\n)")],
            http=False,
        ),
    ]


FILTERS: dict[str, FilterField] = {
    name: hint.__metadata__[0] for name, hint in get_type_hints(FilterArgs, include_extras=True).items()
}
# Old names, which work for one release.
RENAMED = {"version": "trace_version"}


def flag_of(name: str) -> str:
    """The option for a filter, by its present or its old name."""
    return FILTERS[name].flag or f"--{name.replace('_', '-')}" if name in FILTERS else f"--{name}"


def as_text(name: str, value: Any) -> Any:
    """The value of a filter as text, where its kind has such texts; otherwise as it is."""
    kind = FILTERS[name].kind
    return kind.as_text(kind.check(name, value)) if kind.as_text else value


class FilterRow(NamedTuple):
    """A filter in the reference."""

    name: str
    type: str
    help: str


def filter_rows() -> list[FilterRow]:
    """Every filter, in order: its name, the type of its value, and which traces pass it."""
    return [FilterRow(name, field.kind.name, field.help) for name, field in FILTERS.items()]


def filters_in(options: Mapping[str, Any]) -> dict[str, Any]:
    """The filters among the options of a command or a magic, as texts; None and empty lists are left out."""
    return {
        name: FILTERS[RENAMED.get(name, name)].kind.read(text)
        for name, text in options.items()
        if RENAMED.get(name, name) in FILTERS and text not in (None, [], ())
    }


def with_new_names(given: Mapping[str, Any]) -> dict[str, Any]:
    """The filters under their present names; warns of each old one."""
    renamed = {name: new for name, new in RENAMED.items() if given.get(name) is not None}
    for name, new in renamed.items():
        if given.get(new) is not None:
            raise QueryInvalid(f"{name} and {new}: use only one of them; {name} is the old name of {new}")
        warnings.warn(
            f"the filter {name} is now {new}; the old name will be removed in the next release",
            DeprecationWarning,
            _callers(),
        )
    return {renamed.get(name, name): value for name, value in given.items() if name not in RENAMED or name in renamed}


def _callers() -> int:
    """The `stacklevel`, for the caller of this, of the first caller outside the package or of the cell of a magic."""
    level = 1
    frame = sys._getframe(1)  # noqa: SLF001 - what `warnings` itself uses
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in ("tunix_rt", "IPython"):
        frame, level = frame.f_back, level + 1
    return level


class Filters:
    """Checked filters; false where there are none. `given` are their values, `conditions` what they mean in SQL.

    Raises QueryInvalid for a filter that is unknown or has a value of another kind. None means no filter.
    """

    def __init__(self, **given: Any) -> None:
        unknown = [name for name in given if name not in FILTERS and name not in RENAMED]
        if unknown:
            raise QueryInvalid(f"unknown filter {', '.join(unknown)}; the filters are {', '.join(FILTERS)}")
        # An iterator could not be read again to show the filters.
        self.given: dict[str, Any] = {
            name: list(value) if isinstance(value, Iterator) else value
            for name, value in with_new_names(given).items()
            if value is not None
        }
        self.conditions = tuple(
            condition for name, value in self.given.items() for condition in FILTERS[name].conditions(name, value)
        )
        # What shows them, or writes them down, knows nothing but JSON.
        self.given |= {name: as_text(name, value) for name, value in self.given.items() if compares(value)}

    def __bool__(self) -> bool:
        return bool(self.conditions)

    def needs(self) -> Iterator[tuple[str, Condition]]:
        """What at least one trace must have for any to pass, in words, each with the condition that a trace has it."""
        for name, value in self.given.items():
            yield from FILTERS[name].needs(FILTERS[name].kind.check(name, value))

    def also(self, *conditions: Condition) -> "Filters":
        """These filters, with further conditions."""
        both = Filters(**self.given)
        both.conditions += conditions
        return both

    def clause(self, *bounds: Condition) -> tuple[str, list[Any]]:
        """The WHERE clause of the filters and of bounds on created_at and id, and the values it binds."""
        within, values = where(*(one for one in bounds if not one.fine))
        filled = (
            Condition(one.sql.replace("{bounds}", within), (*one.values, *values)) if one.bounded else one
            for one in self.conditions
        )
        return where(*bounds, *filled)

    @contextmanager
    def query_errors(
        self, cursor: "duckdb.DuckDBPyConnection", path: Path, *, changing: bool = False
    ) -> Iterator[None]:
        """Around the query: an error that the filters cause is QueryInvalid, not an error of DuckDB.

        A `where` reads in a READ ONLY transaction, or in the one that is `changing` the store, whose file is `path`.
        """
        import duckdb

        from tunix_rt.store.engine.statement import check_expression, query_errors
        from tunix_rt.store.engine.statement import shown as all_shown

        if not self:
            yield
            return
        with query_errors(all_shown(self.given), path):
            if "where" not in self.given:
                yield
                return
            check_expression(cursor, str(self.given["where"]))
            if changing:
                yield
                return
            cursor.execute(_BEGIN)
            try:
                yield
            finally:
                with suppress(duckdb.Error):
                    cursor.rollback()

    def begin_anew(self, cursor: "duckdb.DuckDBPyConnection") -> None:
        """After a query within `query_errors` that had too little memory: a failed transaction takes no other."""
        import duckdb

        if "where" in self.given:
            with suppress(duckdb.Error):
                cursor.rollback()
            cursor.execute(_BEGIN)
