"""Adding: dictionaries shaped like traces, with values of all kinds in them, and texts of JSON."""

import json

import tunix_rt as rt
from tests.fuzz.damage import damaged
from tests.fuzz.finding import Case
from tests.fuzz.values import Touched, any_value, as_text, fits_json, foreign, json_value, trace

_TRACES_IN_A_STORE = 3_000


class Part:
    """Draws what is added to one store, and compares what comes back."""

    def __init__(self, folder):
        self._folder = folder
        self._n_stores = 0
        self._n_added = _TRACES_IN_A_STORE

    @property
    def store(self):
        if self._n_added >= _TRACES_IN_A_STORE:
            self._n_added = 0
            self._n_stores += 1
            self._store = rt.TraceStore(self._folder / f"add{self._n_stores}.duckdb")
        return self._store

    def close(self):
        """Nothing is left to end."""

    def draw(self, rng):
        match rng.randrange(8):
            case 0 | 1:
                return Case("add, JSON", trace(rng), self._add)
            case 2 | 3:
                return Case("add, foreign", trace(rng, any_value), self._add)
            case 4:
                return Case("add, anything", any_value(rng), self._add)
            case 5:
                return Case("Trace(…)", trace(rng, foreign), self._construct)
            case 6:
                value = rng.choice([json_value, any_value])
                return Case("add_many", [trace(rng, value) for _ in range(rng.randrange(6))], self._add_many)
        return Case("from_json", damaged(rng, as_text(trace(rng)).encode(errors="surrogatepass")), self._read)

    @staticmethod
    def _is_told(given):
        # What iterates over the steps is the caller's own code, and so is its error.
        assert hasattr(given.get("steps"), "__iter__"), "a value's own error"
        return False

    def _add(self, given):
        expected = _expected(given)
        try:
            record = self.store.add(given)
        except Touched:
            return self._is_told(given)
        self._comes_back([record])
        if expected is not None:
            assert json.loads(record.payload.to_json()) == expected, "not what was given"
        return True

    def _construct(self, given):
        try:
            made = rt.Trace(**{"prompt": "", "steps": [], "final_answer": None} | given)
        except Touched:
            return self._is_told(given)
        except TypeError as error:
            if "unexpected keyword" in str(error):
                return False
            raise
        assert rt.Trace.from_dict(given) == made, "from_dict and Trace(…) differ"
        assert rt.Trace.from_json(made.to_json()) == made, "its JSON is another trace"
        str(made), made._repr_html_(), hash(made)
        self._comes_back([self.store.add(made)])
        return True

    def _add_many(self, given):
        before = self.store.count()
        try:
            records = self.store.add_many(given)
        except (rt.TunixRTError, Touched):
            assert self.store.count() == before, "some were stored of what was refused"
            return False
        assert self.store.count() == before + len(given), "not all were stored"
        self._comes_back(records)
        return True

    def _read(self, given):
        made = rt.Trace.from_json(given)
        assert rt.Trace.from_json(made.to_json()) == made, "its JSON is another trace"
        return True

    def _comes_back(self, records):
        for record in records:
            self._n_added += 1
            back = self.store.get(record.id)
            assert back == record, "not what was acknowledged"
            assert back.payload.to_json() == record.payload.to_json(), "other text than was acknowledged"


def _expected(given):
    """The trace as JSON has it, where all that was given is plain."""
    try:
        found = fits_json(given)
    except (NotImplementedError, RecursionError):
        return None
    if type(found) is not dict or type(found.get("steps")) is not list or "payload" in found:
        return None
    steps = [
        {"i": at, "type": "step", "content": step} if isinstance(step, str) else step
        for at, step in enumerate(found["steps"])
    ]
    found = {"trace_version": "1.0"} | found | {"steps": steps}
    if found.get("meta") is None:
        found.pop("meta", None)
    return found
