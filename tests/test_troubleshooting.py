"""TROUBLESHOOTING.md has every message of the package, and none that is gone."""

import re
from pathlib import Path
from typing import get_args

import pytest

import tunix_rt as rt
from tests.messages import messages
from tunix_rt.store.upkeep.health import State

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "TROUBLESHOOTING.md").read_text(encoding="utf-8")
# The first cells of the tables of messages: all that stands there is a message.
CELLS = [
    line.split(" | ")[0].removeprefix("| ")
    for block in re.split(r"\n\n+", GUIDE)
    if block.startswith(("| message |", "| reason |"))
    for line in block.splitlines()[2:]
]


@pytest.fixture(scope="module")
def all_said():
    """All messages; not read where this file is only collected, which every process does."""
    return messages()


@pytest.mark.slow
def test_every_message_of_the_package_is_in_the_guide(all_said):
    cells = "\n".join(CELLS)
    missing = {said.text: said.place for said in all_said if said.fragment not in cells}
    assert not missing, (
        "TROUBLESHOOTING.md lacks messages. Add a row for each to the table where a reader would look, or put it "
        "beside one that means the same (<br> between them):\n"
        + "\n".join(f"| `{text}` | … |   <- {place}" for text, place in missing.items())
    )


def test_the_guide_has_no_message_that_is_gone(all_said):
    gone = []
    for text in (text for cell in CELLS for text in re.split(r"<br>|`, `", cell)):
        parts = [part.strip(" `") for part in text.split("…")]
        if not any(all(part in said.text for part in parts) for said in all_said):
            gone.append(text)
    assert not gone, "nothing says these messages; drop or correct them:\n" + "\n".join(gone)


def test_the_guide_names_every_class_of_errors():
    for name in dir(rt.errors):
        one = getattr(rt.errors, name)
        if isinstance(one, type) and issubclass(one, rt.TunixRTError):
            assert f"`{name}`" in GUIDE or f"rt.{name}" in GUIDE, name


def test_the_guide_names_every_state_of_a_store():
    for state in set(get_args(State)) - {"healthy"}:
        assert f"| `{state}` |" in GUIDE, state


@pytest.mark.parametrize(
    "document", [*ROOT.glob("*.md"), ROOT / "tests/benchmarks/RESULTS.md"], ids=lambda path: path.name
)
def test_links_of_the_documents_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", text)
    pictures = re.findall(r'(?:src|srcset)="(?!https?:)([^"]+)"', text)
    for name, anchor in links + [(picture, "") for picture in pictures]:
        target = document.parent / name if name else document
        assert target.exists(), name
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{name}#{anchor}"


def test_messages_are_read_as_they_are_said(all_said, store):
    """The reading of the source is held to what is really said."""
    with pytest.raises(rt.QueryInvalid) as raised:
        store.page(limit=0)
    assert any(said.text == "…=…: must be a whole number …" for said in all_said)
    assert re.fullmatch(r".*=.*: must be a whole number .*", str(raised.value))
    texts = {said.text for said in all_said}
    for behind_a_name in ("from … to …", "must be a string, not …", "cells; the header has"):
        assert any(behind_a_name in text for text in texts), behind_a_name
    assert "Another load is running. Wait until it is done, or cancel it." in texts
