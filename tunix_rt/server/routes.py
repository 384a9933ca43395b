"""The routes: each a few calls of the store, under Jupyter's rules."""

import asyncio
import re
from collections.abc import Mapping
from typing import IO, Any, cast

from pydantic_core import to_json
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, authenticated

from tunix_rt.errors import Problem, TraceNotFound
from tunix_rt.formats import WRITERS
from tunix_rt.formats.containers.writers import PARQUET
from tunix_rt.model import Trace
from tunix_rt.server.base import Route
from tunix_rt.server.bodies import MAX_BATCH_BYTES, add_batch
from tunix_rt.server.error_status import RequestInvalid
from tunix_rt.server.openapi import document
from tunix_rt.server.parameters import EXPORT, GROUPS, PAGE, SELECTION, Parameter, parameters_in
from tunix_rt.server.response_stream import ReplyStream
from tunix_rt.server.responses import Created, FlagsReply, GroupList, HealthReply, ServiceReply, TraceList
from tunix_rt.store.filters import RENAMED

_ID_DIGITS = 32


def _selected(route: Route, others: Mapping[str, Parameter]) -> dict[str, Any]:
    """The filters and other parameters of a request; the reply warns of old names."""
    asked = parameters_in(route.request.query, {**others, **SELECTION})
    for old, new in RENAMED.items():
        if route.get_query_arguments(old):
            route.add_header("Warning", f'299 - "the filter {old} is now {new}"')
    return asked


class Traces(Route):
    """All traces: a page of them; one more."""

    def body_max_bytes(self) -> int:
        """The largest trace."""
        return self.served.settings.trace_max_bytes

    @authenticated
    async def get(self) -> None:
        """A page of summaries."""
        options = _selected(self, PAGE)
        self.send_json(
            await self.served.read(lambda store: TraceList.of(store.page(**options)).model_dump_json().encode())
        )

    @authenticated
    async def post(self) -> None:
        """Stores the trace in the body."""
        parameters_in(self.request.query, {})
        body = self.body
        record = await self.served.add(body, lambda store: store.add(Trace.from_json(body)))
        self.set_header("Location", f"{self.root}/traces/{record.id}")
        self.send_json(Created.of(record), 201)


class Batch(Route):
    """Many traces at once."""

    def body_max_bytes(self) -> int:
        """The largest batch."""
        return MAX_BATCH_BYTES

    @authenticated
    async def post(self) -> None:
        """Stores the traces in the body, all or none."""
        parameters_in(self.request.query, {})
        body = self.body
        created = await self.served.add(body, lambda store: to_json(add_batch(store, body)))
        self.send_json(created, 201)


class Flags(Route):
    """What to look at first."""

    @authenticated
    async def get(self) -> None:
        """The counts of the flags that are stored; nothing is scored."""
        options = _selected(self, {})
        self.send_json(
            await self.served.read(lambda store: FlagsReply.of(store.flags(**options)).model_dump_json().encode())
        )


class OneTrace(Route):
    """One trace, by its id."""

    @authenticated
    async def get(self, given: str) -> None:
        """The trace with this id, or with the only id that begins with these digits."""
        _digits(given)
        parameters_in(self.request.query, {})
        self.send_json(await self.served.read(lambda store: store.get(given).model_dump_json().encode()))

    @authenticated
    async def delete(self, given: str) -> None:
        """Deletes it; this needs the full id."""
        if len(_digits(given)) < _ID_DIGITS:
            raise RequestInvalid("path", Problem("id", f"{given}: to delete a trace, give its full id"))
        parameters_in(self.request.query, {})
        # Another client may delete it between the search and the deletion.
        if not await self.served.read(lambda store: store.delete(given)):
            raise TraceNotFound(f"trace {given} not found")
        self.set_status(204)
        self.finish()


class Groups(Route):
    """The samples of each prompt and policy."""

    @authenticated
    async def get(self) -> None:
        """The first 50 groups, the levels of all, and pass@1 of each policy."""
        options = {"by": None} | _selected(self, GROUPS)
        self.send_json(
            await self.served.read(
                lambda store: GroupList(**store.groups(**options).to_dict()).model_dump_json().encode()
            )
        )


class Export(Route):
    """The traces that pass the filters as a file, oldest first, sent while they are read."""

    stream: ReplyStream | None = None

    @authenticated
    async def get(self) -> None:
        """The file; after an error in the middle, the connection is closed."""
        options = {"format": "trace"} | _selected(self, EXPORT)
        container = WRITERS[options["format"]].container
        if container == PARQUET:
            # They would go to a file beside it, which a reply has not.
            options["scores"] = False
        self.set_header("Content-Type", container.media_type)
        self.set_attachment_header(f"traces{container.endings[0]}")
        stream = self.stream = ReplyStream(self)
        file = cast("IO[bytes]", stream)
        try:
            await self.served.stream(stream, lambda store: store.export(file, **options))
        except StreamClosedError as error:
            self.log.info("tunix_rt: an export ended early: %s", error)
            stream.cut()
        except Exception as error:
            # An incomplete file must not look complete.
            if not stream.begun:
                raise
            self.log_exception(type(error), error, error.__traceback__)
            stream.cut()
        else:
            self.finish(set_content_type=container.media_type)

    def on_connection_close(self) -> None:
        """Ends the reading as well."""
        super().on_connection_close()
        if self.stream is not None:
            self.stream.lose()


class Health(Route):
    """The health of the store and of the services."""

    # Monitoring must not keep the server from shutting down when idle.
    _track_activity = False

    @authenticated
    async def get(self) -> None:
        """The health; 503 if the store is down."""
        parameters_in(self.request.query, {})
        found = HealthReply.model_validate((await self.served.health()).to_dict())
        self.send_json(found.model_dump_json(exclude_unset=True).encode(), 503 if found.status == "down" else 200)


class RediAI(Route):
    """The health of RediAI."""

    _track_activity = False

    @authenticated
    async def get(self) -> None:
        """Its answer, at most `rediai_health_cache_ttl_seconds` old."""
        parameters_in(self.request.query, {})
        found = await self.served.service()
        self.send_json(ServiceReply.model_validate(found.to_dict()).model_dump_json(exclude_unset=True).encode())


class Description(Route):
    """The API described, for programs."""

    @authenticated
    async def get(self) -> None:
        """The OpenAPI document."""
        parameters_in(self.request.query, {})
        self.send_json(await asyncio.to_thread(document, self.root))


class Nothing(Route):
    """All other paths: a client without access does not learn that they do not exist."""

    async def admit(self) -> None:
        """Raises HTTPError for all requests."""
        await super().admit()
        if self.request.method != "OPTIONS":
            raise HTTPError(404, f"there is no such route; {self.root}/openapi.json lists the routes")

    def _implements(self, method: str) -> bool:  # noqa: ARG002
        return True


def _digits(given: str) -> str:
    digits = given.replace("-", "").lower()
    if not re.fullmatch(r"[0-9a-f]{1,32}", digits):
        raise RequestInvalid("path", Problem("id", f"{given}: is not a valid id, which has 32 hexadecimal digits"))
    return digits


ROUTES: dict[str, type[Route]] = {
    "/traces": Traces,
    "/traces/batch": Batch,
    "/traces/export": Export,
    "/traces/([^/]+)": OneTrace,
    "/groups": Groups,
    "/flags": Flags,
    "/health": Health,
    "/redi/health": RediAI,
    "/openapi.json": Description,
    "(?:/.*)?": Nothing,
}
