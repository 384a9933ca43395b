"""What to select: one table of filters for every call, the command line, the magics, HTTP and the forms.

A filter is one field of `FilterArgs`. Everything that accepts or lists filters is made from that table.
"""

import json
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

from tunix_rt.errors import QueryInvalid, TraceInvalid
from tunix_rt.store.filter_values import (
    IDS,
    NUMBER,
    OBJECT,
    SQL,
    STRING,
    TIME,
    WHOLE_NUMBER,
    Kind,
    plain_value,
    shown,
)
from tunix_rt.store.score_filter import SCORES, score_conditions

if TYPE_CHECKING:
    import duckdb

_BEGIN = "begin transaction read only"


class Condition(NamedTuple):
    """A part of a WHERE clause and the values it binds; if it is `bounded`, `{bounds}` in it is a clause of bounds."""

    sql: str
    values: tuple[Any, ...] = ()
    bounded: bool = False


def where(*conditions: Condition) -> tuple[str, list[Any]]:
    """The WHERE clause of all the conditions, and the values it binds."""
    if not conditions:
        return "", []
    clause = " and ".join(condition.sql for condition in conditions)
    return f" where {clause}", [value for condition in conditions for value in condition.values]


def _contains(text: str) -> Iterator[Condition]:
    # RE2's case folding was 1.7 times as fast as lower() over 1,000,000 traces; a text without case needs neither.
    if text.lower() == text.upper():
        found, value = "contains({0}, ?)", text
    else:
        found, value = "regexp_matches({0}, ?, 'i')", _literal_pattern(text)
    in_steps = f"len(list_filter(steps, lambda s: {found.format('s.content')})) > 0"
    yield Condition(
        f"({found.format('prompt')} or coalesce({found.format('final_answer')}, false) or {in_steps})", (value,) * 3
    )


def _literal_pattern(text: str) -> str:
    # RE2 knows no \Q…\E here, and Python's escapes for plain ASCII signs are its own.
    return re.sub(r"([^\w\s])", r"\\\1", text, flags=re.ASCII) if text.isascii() else re.escape(text)


def _meta_values(wanted: Mapping[Any, Any]) -> Iterator[Condition]:
    paths: list[str] = []
    names = [name for key in wanted for name in plain_value("meta", {key: None})]
    conditions = [_meta_value(name, value, paths) for name, value in zip(names, wanted.values(), strict=True)]
    if conditions:
        # One extraction for all keys: each reads the whole of meta, and five of them, for traces with 1 MB of
        # numbers, needed more than 512 MB together.
        clause, values = (
            " and ".join(one.sql for one in conditions),
            [value for one in conditions for value in one.values],
        )
        extracted = "json_extract(meta, ?::varchar[])"
        yield Condition(f"list_transform([{extracted}], lambda found: {clause})[1]", (paths, *values))


def _meta_value(key: str, wanted: Any, paths: list[str]) -> Condition:
    """The condition on `found`, which is what meta has at `paths`; adds those of this key to them."""
    from tunix_rt.json_values import plain

    # A key may itself hold dots (`gen_ai.usage`), so the whole key is tried before the path.
    first = len(paths) + 1
    paths += [_pointer(key)] if "." not in key else [_pointer(key), _pointer(*key.split("."))]
    found = f"coalesce({', '.join(f'found[{n}]' for n in range(first, len(paths) + 1))})"
    given = wanted
    try:
        wanted = plain(given)
        text = json.dumps(wanted, ensure_ascii=False, separators=(",", ":"))
    except (TraceInvalid, ValueError):
        raise QueryInvalid(f"meta={{{shown(key)}: {shown(given)}}}: must be a JSON value") from None
    if wanted is None and given is not None:
        # `delete` would otherwise find every trace that lacks the key.
        raise QueryInvalid(
            f"meta={{{shown(key)}: {shown(given)}}}: must be a JSON value; None finds null and missing keys"
        )
    if wanted is None:
        return Condition(f"coalesce(json_type({found}), 'NULL') = 'NULL'")
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        numbers = "('UBIGINT', 'BIGINT', 'DOUBLE', 'HUGEINT', 'UHUGEINT')"
        is_number = f"json_type({found}) in {numbers}"
        try:
            number = float(wanted)
        except OverflowError:
            raise QueryInvalid(f"meta={{{shown(key)}: …}}: must be a number of at most 1.8e308") from None
        return Condition(f"({is_number} and try_cast({found} as double) = ?::double)", (number,))
    return Condition(f"{found}::varchar = json(?)::varchar", (text,))


def _pointer(*keys: str) -> str:
    # Not one of DuckDB's paths, in which no key is empty and a star is any key.
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


class InForm(NamedTuple):
    """A filter's field in a form: its caption, its name for screen readers, and whether it continues the one before."""

    caption: str
    label: str
    beside: bool = False


@dataclass(frozen=True, kw_only=True)
class FilterField:
    """A filter: its help in one line, the kind of its values, and its condition in SQL.

    `sql` is a comparison with one `?`, or makes the conditions from a checked value. `flag` is the option where it is
    not the filter's name; `form` is None where a form has no field of its own for it.
    """

    help: str
    kind: Kind
    sql: str | Callable[[Any], Iterable[Condition]]
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
        sql=lambda value: _meta_values({key: value}),
        form=InForm(caption, caption),
    )


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
        Mapping[str, Any] | None,
        FilterField(
            help='values in meta, such as {"reward": 1, "grader.name": "exact"}; dots reach inside',
            kind=OBJECT,
            sql=_meta_values,
        ),
    ]
    score: Annotated[
        Mapping[str, bool | float | str | None] | Iterable[str] | str | None,
        FilterField(
            help="what scorers say: loop, !answer, structure<50, verdict=good, answer=null (no score)",
            kind=SCORES,
            sql=lambda terms: [Condition(*one, bounded=True) for one in score_conditions(terms)],
            form=InForm("Scores", "Scores"),
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

    def __bool__(self) -> bool:
        return bool(self.conditions)

    def also(self, *conditions: Condition) -> "Filters":
        """These filters, with further conditions."""
        both = Filters(**self.given)
        both.conditions += conditions
        return both

    def clause(self, *bounds: Condition) -> tuple[str, list[Any]]:
        """The WHERE clause of the filters and of bounds on created_at and id, and the values it binds."""
        within, values = where(*bounds)
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
