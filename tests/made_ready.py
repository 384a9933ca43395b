"""What a reading made ready to be stored, one trace after the other."""

from tunix_rt.store.ingest.chunk import Chunk, Encoded


def apart(ready):
    """What was made ready, one by one: a trace with what its row brought, whether it is alone or in a chunk."""
    for one in ready:
        together = one if isinstance(one, Chunk) else Chunk()
        if isinstance(one, Encoded):
            together.add(one)
        elif not isinstance(one, Chunk):
            yield one
        for index, trace in enumerate(zip(together.bodies, together.metas, together.digests, strict=True)):
            given = together.given.get(index)
            yield (*trace, given and (given.row.line, *given[1:]), together.scores.get(index))
