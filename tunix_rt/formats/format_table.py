"""All formats as a table that shows itself."""

from typing import TYPE_CHECKING, Any

from tunix_rt import render
from tunix_rt.formats.own_formats import all_formats

if TYPE_CHECKING:
    import pandas as pd


@render.shows_itself(render.table_text, render.table_html)
class FormatTable:
    """Every format: its name, whether it is read and written, its family, what it is; also `df()` and `to_dict()`."""

    columns = ("format", "in", "out", "family", "description")
    types = ("VARCHAR",) * len(columns)

    def __init__(self) -> None:
        self.rows = [
            (one.name, "yes" if one.reader else "–", "yes" if one.writer else "–", one.family, one.description)
            for one in all_formats()
        ]

    @property
    def n_rows(self) -> int:
        """How many formats there are."""
        return len(self.rows)

    def __len__(self) -> int:
        return self.n_rows

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """By the name of each format: `in` and `out` as booleans, `family` and `description`."""
        return {
            name: {"in": read == "yes", "out": written == "yes", "family": family, "description": description}
            for name, read, written, family, description in self.rows
        }

    def df(self) -> "pd.DataFrame":
        """A row for each format; pandas must be installed."""
        import pandas as pd

        found = [{"format": name, **facts} for name, facts in self.to_dict().items()]
        return pd.DataFrame(found, columns=list(self.columns))

    def __repr__(self) -> str:
        return f"<FormatTable of {self.n_rows} formats>"


def table() -> FormatTable:
    """All formats, in and out, with those that users have added."""
    return FormatTable()
