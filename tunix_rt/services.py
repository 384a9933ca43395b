"""Services outside the notebook, and whether they answer.

RediAI is the one there is: an HTTP service with a path that says whether it is well.
"""

import threading
import time
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Literal
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, build_opener

from tunix_rt.settings import Settings

TIMEOUT_SECONDS = 5


@dataclass(frozen=True)
class ServiceHealth:
    """A service that was asked: its `mode` ("off", "mock", "real"), its status, and the error where it is down.

    In mode "mock" nobody was asked: it is healthy, and says that it is a mock.
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
        return f"{said} (mock: nothing was asked)" if self.mode == "mock" else said


def rediai_health(settings: Settings) -> ServiceHealth:
    """Whether RediAI answers with a 2xx within 5 s; asked again after `rediai_health_cache_ttl_seconds`.

    The errors: `HTTP <code>` (redirects are not followed), `Timeout after 5s`, `Connection refused`, or
    `Connection failed: <why>`.
    """
    if settings.rediai_mode == "off":
        return ServiceHealth("RediAI", "off", "off")
    if settings.rediai_mode == "mock":
        return ServiceHealth("RediAI", "mock", "healthy")
    url = f"{settings.rediai_base_url}{settings.rediai_health_path}"
    # Who comes while it is being asked waits for that answer.
    with _asking:
        asked_at, found = _found.get(url, (0.0, None))
        if found is None or time.monotonic() - asked_at >= settings.rediai_health_cache_ttl_seconds:
            error = _fault(url)
            found = ServiceHealth("RediAI", "real", "down" if error else "healthy", error)
            _found[url] = time.monotonic(), found
        return found


_asking = threading.Lock()
_found: dict[str, tuple[float, ServiceHealth]] = {}


class _Staying(HTTPRedirectHandler):
    """A page to log in, elsewhere, does not say that the service is well."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """No request: the redirect is the answer."""


_opener = build_opener(_Staying)


def _fault(url: str) -> str | None:
    """What is wrong with the answer of a URL, which the settings have found to be http or https; None if nothing."""
    try:
        with _opener.open(url, timeout=TIMEOUT_SECONDS):
            return None
    except HTTPError as error:
        error.close()
        return f"HTTP {error.code}"
    except HTTPException as error:
        return f"Connection failed: what answered speaks no HTTP ({type(error).__name__})"
    except OSError as error:
        # URLError wraps what the socket said; what comes after the connection was made comes as it is.
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, TimeoutError):
            return f"Timeout after {TIMEOUT_SECONDS}s"
        return "Connection refused" if isinstance(reason, ConnectionRefusedError) else f"Connection failed: {reason}"
