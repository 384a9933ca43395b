"""The front end's types are those of the Python classes, and its names are its own. `npm run check` does the rest."""

import inspect
import json
import re
from pathlib import Path

import pytest

import tunix_rt as rt
from tunix_rt.widgets.columns import row_of
from tunix_rt.widgets.form import Form

ROOT = Path(__file__).parent.parent
STATIC = ROOT / "tunix_rt" / "widgets" / "static"
SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(STATIC.glob("*.js"))}
FORMS = {
    "App": rt.TraceApp,
    "Browser": rt.TraceBrowser,
    "Groups": rt.GroupBrowser,
    "Label": rt.LabelForm,
    "Status": rt.StoreStatus,
    "Upload": rt.UploadForm,
    "Viewer": rt.TraceViewer,
    "Watch": rt.FolderWatch,
}
# Where a form is made of parts with traits and actions of their own.
PARTS = {"Browser": ["Chosen", "Columns", "Filters"], "Groups": ["Filters"]}
# Some of what every window has. A function of the same name would hide it, and a misspelt variable would find it.
OF_THE_BROWSER = """
    alert blur caches cancelIdleCallback clearInterval clearTimeout close closed confirm console crypto
    customElements devicePixelRatio dispatchEvent document event external fetch find focus frames getSelection
    history indexedDB innerHeight innerWidth isSecureContext length localStorage location locationbar matchMedia
    menubar moveBy moveTo name navigation navigator onerror onload open opener origin outerHeight outerWidth parent
    performance personalbar postMessage print prompt queueMicrotask removeEventListener reportError resizeBy
    resizeTo screen screenX screenY scroll scrollBy scrollTo scrollX scrollY scrollbars self sessionStorage
    setInterval setTimeout status statusbar stop structuredClone toolbar top visualViewport when window Comment
    Document Element Event File Highlight History Image Location Node Notification Option Range Request Response
    Selection Text
"""


def declared(source):
    """The names that a file declares in the outermost scope."""
    return re.findall(r"^(?:async function\*?|function\*?|class|const|let|var) (\w+)", source, re.MULTILINE)


@pytest.mark.parametrize("name", SOURCES)
def test_no_name_of_a_front_end_hides_one_of_the_browsers(name):
    names = declared(SOURCES[name])
    assert names
    assert set(names) & set(OF_THE_BROWSER.split()) == set()


def test_no_name_is_declared_by_two_files():
    names = [name for source in SOURCES.values() for name in declared(source)]
    assert sorted(set(names)) == sorted(names)


def properties(typedef):
    """The properties of a JSDoc type, with their own types."""
    every = "".join(SOURCES.values())
    (block,) = re.findall(rf"@typedef {{object}} {typedef}\b(.*?)(?:\*/|@typedef)", every, re.DOTALL)
    return {name: kind for kind, name in re.findall(r"@property {(.*)} (\w+)", block)}


def typed(kind, name):
    """The traits or actions of a form, with those of its parts."""
    own = properties(f"Own{name}Traits" if kind == "Traits" else f"{name}Actions")
    return own | {key: value for part in PARTS.get(name, ()) for key, value in properties(part + kind).items()}


def actions(form):
    members = {name: member for one in reversed(form.mro()) for name, member in vars(one).items()}
    found = {name: member for name, member in members.items() if hasattr(member, "action_mode")}
    return {name: set(inspect.signature(method).parameters) - {"self", "buffer"} for name, method in found.items()}


@pytest.mark.parametrize("name", FORMS)
def test_the_traits_of_a_form_are_those_of_its_class(name):
    form = FORMS[name]
    assert set(typed("Traits", name)) == set(form.class_traits(sync=True)) - set(Form.class_traits(sync=True))
    assert set(properties("FormTraits")) <= set(Form.class_own_traits(sync=True))


@pytest.mark.parametrize("name", sorted(FORMS.keys() - {"App"}))
def test_the_actions_of_a_form_and_their_arguments_are_those_of_its_class(name):
    found = typed("Actions", name)
    arguments = {action: set(re.findall(r"(\w+): ", kind.split("=>")[0])) - {"args"} for action, kind in found.items()}
    assert arguments | actions(Form) == actions(FORMS[name])
    assert actions(rt.TraceApp) == actions(Form) == {name: set() for name in properties("FormActions")}


def test_a_row_has_the_fields_that_its_type_names(store):
    store.add(rt.examples.get("fahrenheit"))
    assert set(properties("Row")) == set(row_of(store.page()[0]))


def test_a_filter_has_the_fields_that_its_type_names(store):
    for field in rt.TraceBrowser(store).filter_fields:
        assert set(properties("FilterField")) == set(field)
        assert f'"{field["input"]}"' in properties("FilterField")["input"]


def test_the_tools_of_the_front_end_are_pinned_and_name_no_registry():
    package = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    lock = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))
    assert "dependencies" not in package
    assert lock["packages"][""]["devDependencies"] == package["devDependencies"]
    for name, version in package["devDependencies"].items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), name
    for name, entry in lock["packages"].items():
        assert name == "" or entry["integrity"].startswith("sha512-"), name
        assert "resolved" not in entry, name
