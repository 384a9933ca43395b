"""JSON objects and arrays that cannot be changed, as a trace holds them."""

from typing import Any, NoReturn


def _no_change(*_: Any, **__: Any) -> NoReturn:
    raise TypeError("a trace is frozen, and its meta with it; trace.model_dump()['meta'] is a copy that can be changed")


class FrozenObject(dict[str, Any]):
    """A JSON object that cannot be changed; otherwise a dictionary, which it makes by `|` and `copy()`."""

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _no_change

    def __copy__(self) -> "FrozenObject":
        return self

    def __deepcopy__(self, _memo: object) -> "FrozenObject":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenObject, (dict(self),)


class FrozenList(list[Any]):
    """A JSON array that cannot be changed; otherwise a list, which it makes by `+` and `copy()`."""

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _no_change
    append = clear = extend = insert = pop = remove = reverse = sort = _no_change

    def __copy__(self) -> "FrozenList":
        return self

    def __deepcopy__(self, _memo: object) -> "FrozenList":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenList, (list(self),)


def frozen(value: dict[str, Any]) -> FrozenObject:
    """The same object, with all that is in it, so that it cannot be changed."""
    return FrozenObject(
        {key: _FROZEN[type(item)](item) if type(item) in _FROZEN else item for key, item in value.items()}
    )


def _frozen_list(value: list[Any]) -> FrozenList:
    if _FROZEN.keys().isdisjoint(map(type, value)):
        return FrozenList(value)
    return FrozenList([_FROZEN[type(item)](item) if type(item) in _FROZEN else item for item in value])


_FROZEN: dict[type, Any] = {dict: frozen, list: _frozen_list}
