"""The commands that bring traces in: load and watch."""

import io
import signal
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from tunix_rt.cli.command import FAILED, Call
from tunix_rt.cli.completing import formats_in, meta_keys
from tunix_rt.cli.output import columns, write_message
from tunix_rt.errors import SourceInvalid
from tunix_rt.text_options import as_options, mapping_in, meta_in

if TYPE_CHECKING:
    from tunix_rt.store import LoadReport

_STDIN = "-"


def _checked_format(name: str | None) -> str | None:
    if name is not None:
        from tunix_rt.formats import format_named

        try:
            format_named(name)
        except SourceInvalid as error:
            raise typer.BadParameter(str(error)) from None
    return name


Format = Annotated[
    str | None,
    typer.Option(
        help="Read as this format; by default it is detected.",
        callback=_checked_format,
        autocompletion=formats_in,
        metavar="NAME",
    ),
]


def _checked_encoding(name: str | None) -> str | None:
    if name is not None:
        from tunix_rt.formats.containers.encodings import checked_encoding

        try:
            checked_encoding(name)
        except SourceInvalid as error:
            raise typer.BadParameter(str(error)) from None
    return name


Map = Annotated[
    list[str] | None,
    typer.Option(
        help="Map fields by hand: prompt=question, meta.reward=score; := sets a constant: meta.model:=toy-1b. May be "
        "repeated.",
        metavar="TARGET=FIELD",
    ),
]

Meta = Annotated[
    list[str] | None,
    typer.Option(
        help="Add this to the meta of each trace, in place of what it has: run=A. May be repeated.",
        metavar="KEY=VALUE",
        autocompletion=meta_keys,
    ),
]

Split = Annotated[
    Literal["turn"] | None, typer.Option(help="Make a trace of each turn of the user in an agent's session.")
]


def load(
    *,
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders, patterns in quotes, or - for standard input.", metavar="SOURCE"),
    ] = None,
    format: Format = None,
    map: Map = None,
    known: Annotated[
        Literal["skip", "add"], typer.Option(help="What to do with traces that are already stored.")
    ] = "skip",
    encoding: Annotated[
        str | None,
        typer.Option(
            help="The encoding of text files, such as windows-1252 or utf-16; by default UTF-8.",
            callback=_checked_encoding,
            metavar="NAME",
        ),
    ] = None,
    split: Split = None,
    meta: Meta = None,
    examples: Annotated[bool, typer.Option("--examples", help="Load the traces that ship with tunix_rt.")] = False,
    call: Call,
) -> int:
    """Load traces from files of any known format; traces that are already stored are not added again.

    Invalid rows do not stop the load: they are reported with file, line, field and reason, and the exit status is 1.
    """
    from tunix_rt.render import report_text

    given = list(_named_sources(sources or [], examples=examples))
    if not given:
        raise typer.BadParameter("name files, folders or patterns to load, - for standard input, or --examples")
    how: Any = {"format": format, "mapping": mapping_in(map), "known": known, "encoding": encoding, "split": split}
    how["meta"] = meta_in(meta)
    failed = False
    store = call.open_store(new=True)
    for place, (name, source) in enumerate(given):
        try:
            report = store.load(source, **how, progress=not call.quiet)
        except SourceInvalid as error:
            # One file that is something else does not stop the others.
            write_message(f"tunix-rt: {as_options(str(error), getattr(error, 'mappings', ()))}")
            failed = True
            continue
        report.source = name
        report.rejected = [row._replace(reason=as_options(row.reason)) for row in report.rejected]
        failed |= bool(report.rejected_count)
        text = report_text(report, columns=columns(), rest="--json")
        call.report(_report_data(report), f"\n{text}" if place else text, well=not report.rejected_count)
        if isinstance(source, _StandardInput) and source.interrupted:
            raise KeyboardInterrupt
    return FAILED if failed else 0


def _named_sources(sources: list[str], *, examples: bool) -> Iterator[tuple[str, Any]]:
    for source in sources:
        yield ("standard input", _StandardInput()) if source == _STDIN else (source, source)
    if examples:
        from tunix_rt import examples as shipped

        yield "the examples that ship with tunix_rt", shipped.folder()


class _StandardInput:
    """Standard input; Ctrl-C, which also ends the program before the pipe, ends it like an end of file.

    So what that program had written is stored, and the load is reported as interrupted.
    """

    name = "standard input"

    def __init__(self) -> None:
        self.interrupted = False

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, as they arrive; empty at the end."""
        if self.interrupted:
            return b""
        try:
            return cast("io.BufferedReader", sys.stdin.buffer).read1(size)
        except KeyboardInterrupt:
            self.interrupted = True
            return b""


def _report_data(report: "LoadReport") -> dict[str, Any]:
    return {
        "source": report.source,
        "format": report.format,
        "mapping": report.mapping,
        "added": report.added,
        "already_stored": report.already_stored,
        # The old name, for one release.
        "known": report.already_stored,
        "rejected": report.rejected_count,
        "scores_added": report.scores_added,
        "passed_over": report.passed_over,
        "rejections": [rejection._asdict() for rejection in report.rejected],
        "ids": report.ids,
    }


def watch(
    *,
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A file, a folder or a pattern in quotes; it may not exist yet.")
    ],
    format: Format = None,
    map: Map = None,
    split: Split = None,
    meta: Meta = None,
    every: Annotated[float, typer.Option(help="Seconds between two checks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Check once, load what is there, and end.")] = False,
    call: Call,
) -> int:
    """Load the files of a running job as they appear and grow; prints a line for each check that found something.

    Ctrl-C ends it at once; SIGTERM after a last check, which also loads incomplete last lines.
    """
    stop = threading.Event()
    if once:
        stop.set()
    rejected = 0
    store = call.open_store(new=True)
    if not once:
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        call.note(f"watching {path} every {every:g} s; Ctrl-C ends it")
    how: Any = {"format": format, "mapping": mapping_in(map), "split": split, "meta": meta_in(meta)}
    for report in store.watch(path, **how, every=every, stop=stop):
        rejected += report.rejected_count
        call.report(_report_data(report), _line_of(report), well=not report.rejected_count)
        sys.stdout.flush()
    if not stop.is_set():
        # A watch takes an interrupt as its end.
        raise KeyboardInterrupt
    return FAILED if once and rejected else 0


def _line_of(report: "LoadReport") -> str:
    from tunix_rt.render import report_line

    return report_line(report, at=datetime.now(UTC), columns=columns())
