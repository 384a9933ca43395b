"""Filters, pages, cursors, ids and exports with odd values: what is accepted agrees with itself."""

import io
import json
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import tunix_rt as rt
from tests.fuzz.damage import damaged
from tests.fuzz.finding import Case
from tests.fuzz.values import Never, Touched, any_value, json_value, seeded, text, trace
from tunix_rt.formats import WRITERS
from tunix_rt.store import cursor_at
from tunix_rt.store.filters import FILTERS
from tunix_rt.store.query.order import NEWEST_FIRST

_TIMES = [
    "2026-01-31", "0001-01-01", "9999-12-31T23:59:59.999999-23:59", "2026-01-31T12:00:00Z", "2026-13-01", "now", "",
    datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), date.max, date.min, timedelta(days=1),
    timedelta.max, timedelta.min, 0, 1e18,
]  # fmt: skip
_ENDINGS = [
    ".jsonl", ".parquet", ".json", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".csv", ".weird", "", ".gz", ".parquet.gz",
]  # fmt: skip


def foreign_columns(rng):
    """Anything but what has no end, which is the caller's own."""
    found = any_value(rng)
    return None if isinstance(found, Never | range) else found


class Part:
    """Draws questions to one store of some traces."""

    def __init__(self, folder):
        self._folder = folder
        self.store = rt.TraceStore(folder / "filters.duckdb")
        rng = seeded("a store to select from")
        while self.store.count() < 60:
            try:
                self.store.add(trace(rng))
            except rt.TunixRTError:
                continue
        groups = [
            {
                "prompt": f"{n // 4}?",
                "steps": ["a", "b"],
                "final_answer": "1",
                "meta": {"reward": n % 2, "source": "s", "correct": bool(n % 2)},
            }
            for n in range(16)
        ]
        self.store.add_many(groups)
        self._records = list(self.store.records())

    def close(self):
        """Nothing is left to end."""

    def draw(self, rng):
        filters = self._filters(rng)
        match rng.randrange(9):
            case 0 | 1:
                return Case("filters", filters, self._agree)
            case 2 | 3:
                where = {
                    "limit": rng.choice([1, 7, 100, 101, 0, any_value(rng)]),
                    "offset": rng.choice([0, 3, 10**30, -1, any_value(rng)]),
                }
                where = {name: value for name, value in where.items() if rng.randrange(2)}
                if rng.randrange(2):
                    where[rng.choice(["after", "before"])] = self._cursor(rng)
                return Case("page", (where, filters), self._page)
            case 4:
                return Case("get", self._id(rng), self._get)
            case 5:
                columns = rng.choice([["id"], ["id", "id"], [], "id", ["nope"], foreign_columns(rng)])
                return Case("scan", ({"columns": columns}, filters), self._scan)
            case 6:
                return Case("delete", (self._id(rng), filters), self._delete)
        options = {
            "format": rng.choice([None, *WRITERS, "x", any_value(rng)]),
            "tags": rng.choice([None, None, ("<a>", "</a>"), (text(rng), text(rng)), any_value(rng)]),
            "manifest": rng.choice([True, False]),
        }
        to = rng.choice([*_ENDINGS, "file object", "odd name"])
        name = text(rng).encode(errors="replace").decode() if rng.randrange(2) else any_value(rng)
        return Case(
            "export",
            (to, name, {key: value for key, value in options.items() if rng.randrange(2)}, filters),
            self._export,
        )

    def _filters(self, rng):
        record = rng.choice(self._records)
        meta = record.payload.meta or {"a": 1}
        good = {
            "text": text(rng),
            "source": rng.choice(["s", text(rng)]),
            "since": rng.choice(_TIMES),
            "until": rng.choice(_TIMES),
            "min_steps": rng.randrange(4),
            "max_steps": rng.choice([10, 2**70, 2.0]),
            "min_chars": rng.choice([0, -(2**80), 10]),
            "max_chars": rng.randrange(1, 10_000),
            "model": rng.choice(["m", text(rng)]),
            "training_step": rng.choice([20, 0.5, 10**400, -(2**70)]),
            "trace_version": rng.choice(["1.0", "1.1", text(rng)]),
            "meta": rng.choice(
                [
                    dict([rng.choice(list(meta.items()))]) if meta else {},
                    {text(rng): json_value(rng)},
                    {"reward": 1},
                    {text(rng): rt.ne(json_value(rng)), "reward": rt.between(json_value(rng), 1)},
                    f"{text(rng)}<{text(rng)}",
                    [f"{text(rng)}!={text(rng)}", "!reward"],
                    {"a.b": None},
                ]
            ),
            "score": rng.choice(
                [
                    "loop",
                    "!loop",
                    "loop=null",
                    f"{text(rng)}<{text(rng)}",
                    text(rng),
                    {text(rng): json_value(rng)},
                    {"loop": None},
                ]
            ),
            "ids": rng.choice(
                [[record.id], [str(record.id)] * 3, str(record.id), [], (one.id for one in self._records[:3])]
            ),
        }
        found = {name: good[name] for name in rng.sample(list(good), rng.choice([0, 1, 1, 1, 2, 3]))}
        if not rng.randrange(3):
            found[rng.choice([*FILTERS, *FILTERS, "nope", "limit"])] = any_value(rng)
        # What can be gone through once is another thing the second time.
        return {
            name: list(value) if isinstance(value, Iterator) else value
            for name, value in found.items()
            if name not in ("where", "limit")
        }

    def _cursor(self, rng):
        good = cursor_at(rng.choice(self._records).created_at)
        found = [
            good,
            good,
            damaged(rng, good.encode()).decode(errors="replace"),
            text(rng),
            any_value(rng),
            good + "=",
            good[:-1],
        ]
        return rng.choice(found)

    def _id(self, rng):
        good = str(rng.choice(self._records).id)
        return rng.choice(
            [
                good,
                good[: rng.randrange(36)],
                good.upper(),
                UUID(good),
                text(rng),
                any_value(rng),
                UUID(int=0),
                good + "0",
                "-",
                "g",
            ]
        )

    def _agree(self, filters):
        expected = self.store.count(**filters)
        found = list(self.store.records(**filters))
        assert len(found) == expected, "count and records differ"
        assert sum(map(len, self.store.scan(["id"], **filters))) == expected, "count and scan differ"
        ids = [one.id for one in found]
        assert self._walk(filters | NEWEST_FIRST) == ids, "pages and records differ"
        for order in ("meta.reward", "score.loop"):
            assert sorted(self._walk(filters | {"order_by": order})) == sorted(ids), "an order has other traces"
        return True

    def _walk(self, asked):
        ids, page = [], self.store.page(limit=20, **asked)
        while True:
            str(page), page._repr_html_()
            ids += [one.id for one in page]
            if not page.next:
                return ids
            page = page.next_page()

    def _page(self, given):
        where, filters = given
        filters = filters | NEWEST_FIRST
        page = self.store.page(**where, **filters)
        str(page), repr(page), page._repr_html_()
        order = [(one.created_at, one.id) for one in page]
        assert order == sorted(order, reverse=True), "not newest first"
        if page.next:
            behind = self.store.page(after=page.next, **filters)
            assert not order or all((one.created_at, one.id) < order[-1] for one in behind), (
                "the next page lies in front"
            )
        return True

    def _get(self, given):
        record = self.store.get(given)
        assert str(record.id).replace("-", "").startswith(str(given).strip().replace("-", "").lower())
        return True

    def _scan(self, given):
        options, filters = given
        try:
            for batch in self.store.scan(**options, **filters):
                assert batch.num_columns
        except Touched:
            # What iterates over the columns is the caller's own code.
            return False
        return True

    def _delete(self, given):
        one, filters = given
        before = self.store.count()
        if filters:
            # Selects nothing, whatever else it selects.
            gone = self.store.delete(**filters | {"where": "false"})
            assert gone == 0
        else:
            gone = self.store.delete(one)
            assert gone == 1
            self._records = list(self.store.records())
        assert self.store.count() == before - gone, "another number is gone than it says"
        if len(self._records) < 40:
            self.store.add_many(record.payload for record in self._records)
            self._records = list(self.store.records())
        return bool(gone)

    def _export(self, given):
        to, name, options, filters = given
        if to == "file object":
            target = io.BytesIO()
        elif to == "odd name":
            target = name if not isinstance(name, str) else self._folder / "out" / name
            if isinstance(name, str):
                if (self._folder / "out").is_file():
                    (self._folder / "out").unlink()
                (self._folder / "out").mkdir(exist_ok=True)
                # By its letters: some names no file can have.
                if not Path(os.path.normpath(target)).is_relative_to(self._folder / "out"):
                    return False
        else:
            target = self._folder / f"out{to}"
        report = self.store.export(target, progress=False, **options, **filters)
        str(report), repr(report), report._repr_html_()
        # Which format it was by the ending, the report says.
        if report.format == "trace" and to in (".jsonl", ".json", ".ndjson", "file object"):
            data = target.getvalue() if to == "file object" else target.read_bytes()
            lines = data.splitlines()
            assert len(lines) == report.rows == self.store.count(**filters), "other rows than it says"
            assert all(json.loads(line)["id"] for line in lines)
        return True
