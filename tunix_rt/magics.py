"""`%load_ext tunix_rt`: thin magics, each a call or two into the public API.

%trace_store [PATH]     which store, and its numbers; with a path (or the name of a TraceStore) that one from now on
%trace_load PATH …      load files, folders or patterns
%trace_watch PATH       load the files of a running job as they come, and show them
%traces [-n 5] …        a page, newest first, with filters
%trace ID               one trace, by id, by the beginning of its id, or `latest`
%%trace                 the JSON in the cell becomes a trace
%trace_groups           the samples of each prompt: how many are correct, what they teach
%trace_compare A B      two traces step by step, or two sets prompt by prompt
%trace_score SCORER     score the traces that have no score yet: answer, loop, …, or a function in the notebook
%trace_flags            what to look at first: how many traces loop, are truncated, wrong, …
%trace_export PATH      write traces, for a trainer or for exchange
%trace_delete ID …      delete traces, by ids or filters
%trace_app              the forms: browse, read, add
%%trace_sql             the SQL in the cell, over the table `traces`
"""

import functools
from argparse import SUPPRESS
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from IPython.core.completer import CompletionContext, SimpleMatcherResult, context_matcher
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, line_cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from traitlets import Unicode

from tunix_rt import examples
from tunix_rt.analysis import FLAGS, SCORERS
from tunix_rt.errors import SourceInvalid, TunixRTError
from tunix_rt.magic_completion import completed
from tunix_rt.model import Trace, TraceRecord
from tunix_rt.store import (
    ExportReport,
    FlagReport,
    GroupMatrix,
    Groups,
    LoadReport,
    Page,
    ScoreReport,
    Selection,
    SetComparison,
    SqlResult,
    StoreInfo,
    TraceComparison,
    TraceStore,
)
from tunix_rt.store.comparing import compare_named
from tunix_rt.store.filters import FILTERS, RENAMED, filters_in, flag_of
from tunix_rt.store.query.order import KNOWN
from tunix_rt.store.selection import named_for_deletion
from tunix_rt.text_options import as_options, mapping_in, meta_in, params_in, unquoted

if TYPE_CHECKING:
    from tunix_rt.widgets import FolderWatch, TraceApp

_MAP_HELP = "map a field by hand, such as prompt=question, or set a constant: meta.model:=toy-1b; may be repeated"
_META_HELP = "add this to the meta of each trace, in place of what it has: run=A; may be repeated"
_SCORES_HELP = "also show the current scores by this scorer; may be repeated"
_SPLIT_HELP = "make a trace of each turn of the user in an agent's session"


def _reports_errors(magic: Callable[..., Any]) -> Callable[..., Any]:
    """Shows an error as a line or a few under the cell, without a traceback."""

    @functools.wraps(magic)
    def reported(*args: Any, **options: Any) -> Any:
        try:
            return magic(*args, **options)
        except TunixRTError as error:
            message = str(error) if isinstance(error, SourceInvalid) else _one_line(error)
            raise UsageError(as_options(message, getattr(error, "mappings", ()))) from None

    return reported


def _one_line(error: TunixRTError) -> str:
    return "; ".join(line for line in map(str.strip, str(error).splitlines()) if line.strip("^ "))


def _filter_arguments(magic: Callable[..., Any]) -> Callable[..., Any]:
    """Every filter as an option of the magic."""
    fields = FILTERS | {old: replace(FILTERS[new], help=SUPPRESS) for old, new in RENAMED.items()}
    for name, field in reversed(fields.items()):
        how = {"dest": name, "type": unquoted, "metavar": field.kind.metavar, "help": field.help}
        magic = argument(flag_of(name), action="append" if field.kind.repeated else "store", **how)(magic)
    return magic


@magics_class
class TraceMagics(Magics):
    """The magics over one store, `database` (default: the setting of that name)."""

    database = Unicode("", help="The store's DuckDB file; empty for the default one.").tag(config=True)

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._store: TraceStore | None = None

    @property
    def notebook(self) -> dict[str, Any]:
        """The variables of the notebook."""
        return cast("dict[str, Any]", cast("InteractiveShell", self.shell).user_ns)

    @property
    def store(self) -> TraceStore:
        """The store that the magics use; opened at the first use."""
        if self._store is None:
            self._store = TraceStore(self.database or None)
        return self._store

    @magic_arguments()
    @argument("store", nargs="?", type=unquoted, help="a path, or the name of a TraceStore; used from now on")
    @line_magic
    @_reports_errors
    def trace_store(self, line: str) -> StoreInfo:
        """Shows which store the magics use, and its numbers.

        %trace_store
        %trace_store runs/today.duckdb
        """
        named = parse_argstring(self.trace_store, line).store
        if named:
            known = self.notebook.get(named)
            self._store = known if isinstance(known, TraceStore) else TraceStore(named)
        return self.store.info()

    @magic_arguments()
    @argument("sources", nargs="*", type=unquoted, help="files, folders or patterns such as runs/*.jsonl")
    @argument("--format", help="read as this format; by default it is detected")
    @argument("--map", action="append", metavar="TARGET=FIELD", help=_MAP_HELP)
    @argument("--known", choices=("skip", "add"), default="skip", help="what to do with traces that are already stored")
    @argument("--encoding", help="the encoding of text files, such as windows-1252; by default UTF-8")
    @argument("--split", choices=("turn",), help=_SPLIT_HELP)
    @argument("--meta", action="append", metavar="KEY=VALUE", type=unquoted, help=_META_HELP)
    @argument("--examples", action="store_true", help="load the examples that ship with the package")
    @line_magic
    @_reports_errors
    def trace_load(self, line: str) -> LoadReport | list[LoadReport]:
        """Loads traces from files; the report shows what was added, already stored and rejected.

        %trace_load rollouts.jsonl
        %trace_load rollouts.jsonl --meta run=A
        %trace_load rollouts.jsonl --map prompt=question --map final_answer=choices.0.text --map meta.reward=score
        %trace_load --examples
        """
        options = parse_argstring(self.trace_load, line)
        if not options.sources and not options.examples:
            raise UsageError("name a file, a folder or a pattern to load; or --examples")
        how = {"format": options.format, "mapping": mapping_in(options.map), "known": options.known}
        how["meta"] = meta_in(options.meta)
        of_files = {"encoding": options.encoding, "split": options.split}
        reports = [self.store.load(source, **how, **of_files) for source in options.sources]
        if options.examples:
            reports.append(self.store.load(examples.folder(), **how))
            # The package's path on this machine is of no use to the reader of a notebook.
            reports[-1].source = "the examples that ship with tunix_rt"
        for report in reports:
            report.rejected = [row._replace(reason=as_options(row.reason)) for row in report.rejected]
        return reports[0] if len(reports) == 1 else reports

    @magic_arguments()
    @argument("path", type=unquoted, help="a folder, a file or a pattern such as runs/*.jsonl; it may not exist yet")
    @argument("--every", type=float, default=2.0, help="seconds between two checks")
    @argument("--format", help="read as this format; by default it is detected")
    @argument("--map", action="append", metavar="TARGET=FIELD", help=_MAP_HELP)
    @argument("--split", choices=("turn",), help=_SPLIT_HELP)
    @argument("--meta", action="append", metavar="KEY=VALUE", type=unquoted, help=_META_HELP)
    @line_magic
    @_reports_errors
    def trace_watch(self, line: str) -> "FolderWatch":
        """Loads the files of a running job as they appear and grow, and shows the new traces; returns a FolderWatch.

        %trace_watch outputs/completions
        """
        # Here and not above: the other magics do without widgets.
        from tunix_rt.widgets import FolderWatch

        options = parse_argstring(self.trace_watch, line)
        how = {"format": options.format, "mapping": mapping_in(options.map), "every": options.every}
        return FolderWatch(self.store, options.path, **how, split=options.split, meta=meta_in(options.meta))

    @magic_arguments()
    @argument("-n", "--limit", type=int, default=20, help="how many traces, 1–100")
    @argument("--offset", type=int, default=0, help="skip this many of the newest")
    @argument("--after", help="the cursor of a page (its .next): the traces after it")
    @argument("--before", help="the cursor of a page (its .previous): the traces before it")
    @argument("--order-by", metavar="NAME", type=unquoted, help=f"smallest first by {KNOWN}; by default newest first")
    @argument("--descending", action="store_true", help="largest first")
    @argument("--scores", action="append", type=unquoted, metavar="SCORER", help=_SCORES_HELP)
    @_filter_arguments
    @line_magic
    @_reports_errors
    def traces(self, line: str) -> Page:
        """Lists stored traces, newest first or in another order; the result is a Page.

        %traces -n 5
        %traces --order-by meta.reward
        page = %traces --source gsm8k --text eggs
        """
        given = vars(parse_argstring(self.traces, line))
        names = ("limit", "offset", "after", "before", "order_by", "descending", "scores")
        where = {name: given[name] for name in names}
        return self.store.page(**where, **filters_in(given))

    @magic_arguments()
    @argument(
        "--by", action="append", metavar="FIELD", help="a field that samples share, such as prompt; may be repeated"
    )
    @argument("--matrix", action="store_true", help="show prompts × policies: which model fails which problem")
    @_filter_arguments
    @line_magic
    @_reports_errors
    def trace_groups(self, line: str) -> Groups | GroupMatrix:
        """Groups the samples of each prompt and policy, with pass@k and maj@k; the result has .df() and .page(index).

        %trace_groups --source rollouts
        groups = %trace_groups --by run --by prompt
        %trace_groups --matrix --training-step 200
        """
        given = vars(parse_argstring(self.trace_groups, line))
        found = self.store.groups(given.pop("by"), **filters_in(given))
        return found.matrix() if given["matrix"] else found

    @magic_arguments()
    @argument(
        "a", type=unquoted, help="an id or latest, a filter such as model=toy-1b, or a trace or selection by name"
    )
    @argument("b", type=unquoted, help="the other one")
    @argument("--scorer", default="answer", help="the values by which sets are compared: a scorer, or meta.KEY")
    @_filter_arguments
    @line_magic
    @_reports_errors
    def trace_compare(self, line: str) -> TraceComparison | SetComparison:
        """Compares two traces step by step, or two sets prompt by prompt; the filters are for both sets.

        %trace_compare 019b76e2-4908 latest
        %trace_compare training_step=100 training_step=200 --source rollouts --scorer meta.reward
        """
        given = vars(parse_argstring(self.trace_compare, line))
        named = [self.notebook.get(given[name]) for name in ("a", "b")]
        sides = [
            known if isinstance(known, Trace | TraceRecord | Selection) else given[name]
            for known, name in zip(named, ("a", "b"), strict=True)
        ]
        return compare_named(self.store, sides, given["scorer"], **filters_in(given))

    @line_cell_magic
    @_reports_errors
    def trace(self, line: str, cell: str | None = None) -> TraceRecord:
        """Shows one stored trace; as a cell magic it stores the trace that the cell holds as JSON.

        %trace latest
        %trace 019b76e2-4908

        %%trace
        {"prompt": "27 × 19?", "steps": ["27 × 20 = 540", "540 − 27 = 513"], "final_answer": "513"}
        """
        wanted = line.strip()
        if cell is not None:
            if wanted:
                raise UsageError("%%trace takes nothing on its line; the JSON of the trace goes into the cell")
            return self.store.add(Trace.from_json(cell.strip()))
        return self.store.latest() if wanted in ("", "latest") else self.store.get(wanted)

    @magic_arguments()
    @argument("scorer", type=unquoted, help="a built-in scorer, or the name of one in this notebook")
    @argument("--param", action="append", metavar="KEY=VALUE", help="a parameter of the scorer; may be repeated")
    @argument("--workers", type=int, default=0, help="processes that score, at most one per core; 0: this one")
    @argument("--timeout", type=float, metavar="SECONDS", help="for a trace; only with --workers")
    @_filter_arguments
    @line_magic
    @_reports_errors
    def trace_score(self, line: str) -> ScoreReport:
        """Scores the traces that have no score by this scorer yet; the report shows how many.

        %trace_score answer --source rollouts
        %trace_score my_reward_function
        """
        given = vars(parse_argstring(self.trace_score, line))
        scorer = given["scorer"]
        # A reward function of the notebook is mostly called `reward`.
        if scorer not in (*SCORERS, *FLAGS) or callable(self.notebook.get(scorer)):
            scorer = self.notebook.get(scorer, scorer)
        how = {key: given[key] for key in ("workers", "timeout")}
        return self.store.score(scorer, params=params_in(given["param"]), **how, **filters_in(given))

    @magic_arguments()
    @argument("flags", nargs="*", type=unquoted, help="these flags; by default all")
    @argument("--stored", action="store_true", help="report what is stored, without scoring")
    @argument("--workers", type=int, default=0, help="processes that score, at most one per core; 0: this one")
    @_filter_arguments
    @line_magic
    @_reports_errors
    def trace_flags(self, line: str) -> FlagReport:
        """Shows what to look at first: how many traces loop, are truncated, wrong, …; scores what has no score yet.

        %trace_flags
        %trace_flags loop truncated --since 1d
        """
        given = vars(parse_argstring(self.trace_flags, line))
        report = self.store.flags if given["stored"] else functools.partial(self.store.flag, workers=given["workers"])
        return report(*given["flags"], **filters_in(given))

    @magic_arguments()
    @argument("path", type=unquoted, help="a file; .gz and .zst are packed, .parquet is Parquet")
    @argument("--format", help="trace, parquet, or what a trainer takes; by default the file's ending decides")
    @argument("--tags", nargs=2, type=unquoted, metavar=("BEGIN", "END"), help="the tags around the reasoning")
    @argument("--within", metavar="prompt", help="prompt: preference pairs also across policies")
    @argument("--no-scores", dest="scores", action="store_false", help="without the scores")
    @argument("--no-manifest", dest="manifest", action="store_false", help="without a manifest beside it")
    @_filter_arguments
    @line_magic
    @_reports_errors
    def trace_export(self, line: str) -> ExportReport:
        """Writes the traces that pass the filters to a file, oldest first; the report has the counts.

        %trace_export sft.jsonl --format messages --score answer
        %trace_export all.parquet
        """
        given = vars(parse_argstring(self.trace_export, line))
        how = {name: given[name] for name in ("format", "within", "scores", "manifest")}
        tags = given["tags"] and tuple(given["tags"])
        return self.store.export(given["path"], tags=tags, **how, **filters_in(given))

    @magic_arguments()
    @argument("traces", nargs="*", type=unquoted, help="ids, their beginnings, or latest; in place of filters")
    @argument("--yes", action="store_true", help="delete them; without it, only the number is shown")
    @_filter_arguments
    @line_magic
    @_reports_errors
    def trace_delete(self, line: str) -> int:
        """Deletes traces with their scores, by ids or by filters, and returns how many; --yes is needed.

        %trace_delete --run A --meta reward<0 --yes
        """
        given = vars(parse_argstring(self.trace_delete, line))
        chosen = named_for_deletion(self.store, given["traces"], filters_in(given), yes=given["yes"])
        return self.store.delete(ids=chosen) if len(chosen) else 0

    @magic_arguments()
    @argument("-n", "--limit", type=int, default=20, help="traces on a page, 1–100")
    @argument("--columns", action="append", type=unquoted, metavar="NAME", help="a column of the list; may be repeated")
    @_filter_arguments
    @line_magic
    @_reports_errors
    def trace_app(self, line: str) -> "TraceApp":
        """Shows the forms: browse, read and add traces; the result is a TraceApp.

        app = %trace_app -n 50 --source rollouts --meta "reward<0.5" --columns preview --columns meta.reward
        """
        from tunix_rt.widgets import TraceApp

        given = vars(parse_argstring(self.trace_app, line))
        return TraceApp(self.store, limit=given["limit"], columns=given["columns"] or (), **filters_in(given))

    @magic_arguments()
    @argument("--out", metavar="NAME", help="also put the result into this variable")
    @cell_magic
    @_reports_errors
    def trace_sql(self, line: str, cell: str) -> SqlResult:
        """Runs the cell as one reading SQL statement over the table `traces`; the result has .arrow() and .df().

        %%trace_sql --out by_source
        select source, count(*) as n from traces group by source
        """
        name = parse_argstring(self.trace_sql, line).out
        result = self.store.sql(cell)
        if name:
            self.notebook[name] = result
        return result

    @context_matcher(identifier="tunix_rt")
    def completions(self, context: CompletionContext) -> SimpleMatcherResult:
        """Completes flags, ids, sources, keys of meta, scorers and formats of these magics."""
        return completed(self, context)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%load_ext tunix_rt`."""
    unload_ipython_extension(shell)
    magics = TraceMagics(shell)
    shell.register_magics(magics)
    shell.Completer.custom_matchers.append(magics.completions)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Called by `%unload_ext tunix_rt`: removes the magics and their completions."""
    magics = shell.magics_manager.registry.pop(TraceMagics.__name__, None)
    if magics is None:
        return
    for kind, names in magics.magics.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
    shell.configurables.remove(magics)
    shell.Completer.custom_matchers.remove(magics.completions)
