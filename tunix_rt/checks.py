"""Health: the store, and the services that are configured beside it."""

from dataclasses import dataclass
from typing import Any

from tunix_rt import render
from tunix_rt.services import ServiceHealth, rediai_health
from tunix_rt.settings import Settings
from tunix_rt.store import TraceStore
from tunix_rt.store.health import Status, StoreHealth, unusable


@dataclass(frozen=True)
class Health:
    """What was found: the store, and the services; shows itself."""

    store: StoreHealth
    services: tuple[ServiceHealth, ...]

    @property
    def status(self) -> Status:
        """Of the store; degraded also where a service is down."""
        if self.store.status == "healthy" and any(service.status == "down" for service in self.services):
            return "degraded"
        return self.store.status

    def to_dict(self) -> dict[str, Any]:
        """All that is known, for JSON."""
        return {
            "status": self.status,
            "store": self.store.to_dict(),
            "services": {service.name.lower(): service.to_dict() for service in self.services},
        }

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What is known besides the store's own numbers, by name, in words."""
        store = self.store
        facts = [] if store.error is None else [("error", store.error)]
        if store.n_in_journal is not None:
            waiting = f"{render.count(store.n_in_journal, 'trace')} waited for this look"
            facts.append(("journal", waiting if store.n_in_journal else "empty"))
        if store.disk_free_bytes is not None:
            facts.append(("room on disk", render.size(store.disk_free_bytes)))
        return facts + [(service.name, str(service)) for service in self.services if service.mode != "off"]

    def __str__(self) -> str:
        return render.facts_text(self._facts)

    def _repr_pretty_(self, printer: Any, _cycle: object) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        return render.facts_html(self._facts)

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
    """Looks at the store (default: the one of the settings) and asks the services that are configured.

    Takes as long as a read of the store, and 5 s for a service that does not answer. Never raises: what is wrong, be it
    with the settings, is in the result.
    """
    settings: Settings | None = store.settings if store else None
    try:
        settings = settings or Settings()
        found = (store or TraceStore(settings=settings)).health()
    except Exception as fault:  # noqa: BLE001 - settings that are not valid, or no store to be made of them
        found = unusable(str(settings.database) if settings else "no store", fault)
    return Health(found, (rediai_health(settings),) if settings else ())
