"""Health: the store, and the services that are configured beside it.

RediAI is the only such service: HTTP, with a path for its health.
"""

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any, Literal
from urllib.error import HTTPError, URLError
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, build_opener

from tunix_rt import render
from tunix_rt.settings import Settings
from tunix_rt.store import TraceStore
from tunix_rt.store.upkeep.health import Status, StoreHealth, unusable

TIMEOUT_SECONDS = 5


@dataclass(frozen=True)
class ServiceHealth:
    """The health of a service: its `mode` ("off", "mock", "real"), its status, and the error where it is down.

    In mode "mock" no request is made: it is always healthy, and is shown as a mock.
    """

    name: str
    mode: Literal["off", "mock", "real"]
    status: Literal["healthy", "down", "off"]
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Status, mode, and the error where there is one, for JSON."""
        return {"status": self.status, "mode": self.mode} | ({"error": self.error} if self.error else {})

    def __str__(self) -> str:
        said = f"{self.status}: {self.error}" if self.error else self.status
        return f"{said} (mock: no request was made)" if self.mode == "mock" else said


@render.shows_facts
@dataclass(frozen=True)
class Health:
    """The health of the store and of the services; shows itself."""

    store: StoreHealth
    services: tuple[ServiceHealth, ...]

    @property
    def status(self) -> Status:
        """The status of the store; degraded also where a service is down."""
        if self.store.status == "healthy" and any(service.status == "down" for service in self.services):
            return "degraded"
        return self.store.status

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "status": self.status,
            "store": self.store.to_dict(),
            "services": {service.name.lower(): service.to_dict() for service in self.services},
        }

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The facts besides the store's own numbers, as names and texts."""
        store = self.store
        facts = [] if store.error is None else [("error", store.error)]
        if store.n_in_journal is not None:
            waiting = f"{render.count(store.n_in_journal, 'trace')} waited for this check"
            facts.append(("journal", waiting if store.n_in_journal else "empty"))
        if store.disk_free_bytes is not None:
            facts.append(("room on disk", render.size(store.disk_free_bytes)))
        return facts + [(service.name, str(service)) for service in self.services if service.mode != "off"]

    @property
    def _facts(self) -> list[tuple[str, str]]:
        state = self.store.state
        store = self.store.path if state in ("healthy", "unusable") else f"{self.store.path} ({state})"
        facts = [("health", self.status), ("store", store)]
        if info := self.store.info:
            facts += [
                ("traces", f"{info.n_traces:,}"),
                ("size", render.size(info.size_bytes)),
                ("schema version", f"{info.schema_version} (current)"),
            ]
        return facts + self.facts


def health(store: TraceStore | None = None) -> Health:
    """Checks the store (default: the one of the settings) and the configured services.

    Takes as long as a read of the store, and up to 5 s for a service that does not answer. Never raises: problems, also
    those of the settings, are in the result.
    """
    settings: Settings | None = store.settings if store else None
    try:
        settings = settings or Settings()
        found = (store or TraceStore(settings=settings)).health()
    except Exception as fault:  # noqa: BLE001 - settings that are not valid, or no store to be made of them
        found = unusable(str(settings.database) if settings else "no store", fault)
    return Health(found, (rediai_health(settings),) if settings else ())


def rediai_health(settings: Settings) -> ServiceHealth:
    """Whether RediAI answers with a 2xx within 5 s in all; checked again after `rediai_health_cache_ttl_seconds`.

    The errors: `HTTP <code>` (redirects are not followed), `Timeout after 5s`, `Connection refused`, or
    `Connection failed: <why>`.
    """
    if settings.rediai_mode == "off":
        return ServiceHealth("RediAI", "off", "off")
    if settings.rediai_mode == "mock":
        return ServiceHealth("RediAI", "mock", "healthy")
    url = f"{settings.rediai_base_url}{settings.rediai_health_path}"
    called_at = time.monotonic()
    # Calls during a request wait for its answer, which is newer than they are.
    with _asking:
        answered_at, found = _found.get(url, (0.0, None))
        if found is None or (
            answered_at < called_at and time.monotonic() - answered_at >= settings.rediai_health_cache_ttl_seconds
        ):
            error = _fault(url)
            found = ServiceHealth("RediAI", "real", "down" if error else "healthy", error)
            _found[url] = time.monotonic(), found
        return found


_asking = threading.Lock()
_found: dict[str, tuple[float, ServiceHealth]] = {}


class _Staying(HTTPRedirectHandler):
    """Does not follow redirects: a login page elsewhere does not show that the service is healthy."""

    def http_error_302(self, *_: Any, **__: Any) -> None:
        """No request, wherever it leads: the redirect is the answer."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class _Call(HTTPHandler, HTTPSHandler):
    """One request in its own thread, which can be ended at any time except during the look-up of the host name."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.error: str | None = f"Timeout after {TIMEOUT_SECONDS}s"
        self._connection: HTTPConnection | None = None
        # A daemon: a name server may take longer than the process wants to live.
        self._thread = threading.Thread(target=self._run, args=(url,), daemon=True)

    def end(self) -> str | None:
        """What is wrong with the answer, after 5 s at the latest; None if nothing."""
        self._thread.start()
        self._thread.join(TIMEOUT_SECONDS)
        # Read now: without an answer it is still the time-out.
        error, connection = self.error, self._connection
        # Closed, so that a slow sender cannot keep it open.
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        return error

    def do_open(self, http_class: Any, req: Any, **options: Any) -> Any:
        """As its base does, and keeps the connection."""

        def connect(*arguments: Any, **given: Any) -> Any:
            self._connection = http_class(*arguments, **given)
            return self._connection

        return super().do_open(connect, req, **options)

    def _run(self, url: str) -> None:
        self.error = self._fault(url)

    def _fault(self, url: str) -> str | None:
        try:
            with build_opener(_Staying, self).open(url, timeout=TIMEOUT_SECONDS):
                return None
        except HTTPError as error:
            error.close()
            return f"HTTP {error.code}"
        except HTTPException as error:
            return f"Connection failed: the answer is not HTTP ({type(error).__name__})"
        except OSError as error:
            # URLError wraps the errors of the socket; those after the connection was made come unwrapped.
            reason = error.reason if isinstance(error, URLError) else error
            if isinstance(reason, TimeoutError):
                return f"Timeout after {TIMEOUT_SECONDS}s"
            return (
                "Connection refused" if isinstance(reason, ConnectionRefusedError) else f"Connection failed: {reason}"
            )
        except Exception as error:  # noqa: BLE001 - as a host name that cannot be one; health never raises
            return f"Connection failed: {error}"


def _fault(url: str) -> str | None:
    """What is wrong with the answer of a URL, which the settings have found to be http or https; None if nothing."""
    return _Call(url).end()
