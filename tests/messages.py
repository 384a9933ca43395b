"""Every message of the package, read from its source: what it raises, says of a trace, or rejects a row with.

A call speaks if it makes a TunixRTError, a Problem, a Rejection or a ServiceHealth, or if it is raised. Its words are
the texts in its argument, and those that names in it stand for in the same file: constants, variables, what functions
return.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parent.parent / "tunix_rt"
# What speaks wherever it stands, and where among its arguments the words are.
_PLACES = {"Problem": 1, "PydanticCustomError": 1, "HTTPError": 1, "Rejection": 3, "ServiceHealth": 3}
# Python's own protocols: nobody reads what they say.
_PROTOCOLS = {
    "AttributeError",
    "KeyError",
    "IndexError",
    "StopIteration",
    "NotImplementedError",
    "UnsupportedOperation",
}
# In the front ends: what is told in a form, or thrown to be told there.
_TOLD_IN_FORMS = re.compile(r"""(?:tell\(|new Error\(|reason: )(["`])(.+?)\1""")


class Message(NamedTuple):
    """A message as its source writes it, `…` where a value stands."""

    place: str
    text: str

    @property
    def fragment(self) -> str:
        """What is searched for: the longest of its own words between two values."""
        return max((part.strip(" ;:,.()") for part in self.text.split("…")), key=len)


def messages() -> list[Message]:
    """The messages of all files, in order."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    errors = _errors(trees.values())
    found = [message for path, tree in trees.items() for message in _File(path, tree, errors).messages()]
    for path in sorted(PACKAGE.rglob("*.js")):
        told = _TOLD_IN_FORMS.findall(path.read_text(encoding="utf-8"))
        place = str(path.relative_to(PACKAGE.parent))
        found += [Message(place, re.sub(r"\$\{.*?\}", "…", text)) for _, text in told]
    return [message for message in found if re.search(r"[a-z]{2}", message.fragment)]


def _errors(trees) -> set[str]:
    """The classes that derive from TunixRTError."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
    found = {"TunixRTError"}
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return found


class _File:
    """One file: its calls that say something, and what the names in them stand for."""

    def __init__(self, path: Path, tree: ast.Module, errors: set[str]) -> None:
        self._path = path
        self._errors = errors
        self._nodes = [*ast.walk(tree)]
        self._functions = {node.name: node for node in self._nodes if isinstance(node, ast.FunctionDef)}
        self._values: dict[str, list[ast.expr]] = {}
        for node in self._nodes:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    if isinstance(target, ast.Name):
                        self._values.setdefault(target.id, []).append(node.value)

    def messages(self) -> Iterator[Message]:
        raised = {id(node.exc) for node in self._nodes if isinstance(node, ast.Raise)}
        for node in self._nodes:
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                speaks = name in self._errors or name in _PLACES or (id(node) in raised and name not in _PROTOCOLS)
                for argument in node.args[_PLACES.get(name, 0) :][:1] if speaks else []:
                    for text in self._said(argument, set()):
                        # A single word is the name of something.
                        if " " in text.strip():
                            yield Message(f"{self._path.relative_to(PACKAGE.parent)}:{node.lineno}", text)

    def _said(self, node: ast.AST, seen: set[int]) -> Iterator[str]:
        """The texts that an expression can become, its names followed inside the file."""
        if id(node) in seen:
            return
        seen.add(id(node))
        match node:
            case ast.Constant(value=str(text)):
                yield re.sub(r"{[^}]*}", "…", text)
            case ast.JoinedStr(values=parts):
                yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in parts)
        for one in self._behind(node):
            yield from self._said(one, seen)

    def _behind(self, node: ast.AST) -> list[ast.AST]:
        """The expressions that an expression takes its texts from."""
        found: list[ast.AST] = []
        match node:
            case ast.JoinedStr(values=parts):
                found = [part.value for part in parts if isinstance(part, ast.FormattedValue)]
            case ast.IfExp(body=one, orelse=other) | ast.BinOp(left=one, right=other):
                found = [one, other]
            case ast.BoolOp(values=several) | ast.Dict(values=several) | ast.List(elts=several):
                found = several
            case ast.Subscript(value=one) | ast.Starred(value=one):
                found = [one]
            case ast.Name(id=name):
                found = [*self._values.get(name, []), *self._returned(name)]
            case ast.Call(func=ast.Name(id="map"), args=[one, *_]) | ast.Call(func=ast.Name() as one):
                found = [one]
            case ast.Call(func=ast.Attribute(value=one, attr=name), args=arguments):
                # "\n".join(map(words, faults)): what is joined is said, but not a list of names.
                found = [
                    one,
                    *(joined for joined in arguments if name == "join" and isinstance(joined, ast.Call | ast.List)),
                ]
        return found

    def _returned(self, name: str) -> list[ast.expr]:
        """What the function with this name returns, if the file has one."""
        inside = ast.walk(self._functions[name]) if name in self._functions else ()
        return [node.value for node in inside if isinstance(node, ast.Return) and node.value]
