"""The extension as Jupyter Server loads it, stops it, and finds its routes."""

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.utils import url_path_join

from tunix_rt.errors import SettingsInvalid
from tunix_rt.render import visible
from tunix_rt.server import routes
from tunix_rt.server.store_threads import ServedStore

API = "tunix-rt/api"


class TraceServer(ExtensionApp):
    """Serves the default store of the settings under `tunix-rt/api`, under Jupyter's own rules of access."""

    name = "tunix_rt"
    description = "The traces of the default store over HTTP."

    def initialize_settings(self) -> None:
        """Bad settings are reported in the log and by each route; Jupyter starts nevertheless."""
        self.served = ServedStore()
        try:
            settings = self.served.settings
        except SettingsInvalid as error:
            # In one line: a traceback would add nothing.
            self.log.error(  # noqa: TRY400
                "tunix_rt: no store is served: %s", "; ".join(str(error).splitlines())
            )
        else:
            self.log.info(
                "tunix_rt: %s is served under %s", visible(str(settings.database)), url_path_join(self._base_url, API)
            )

    def initialize_handlers(self) -> None:
        """The routes, and one for all other paths, so that a client without access does not learn which exist."""
        given = {"served": self.served, "root": url_path_join(self._base_url, API)}
        self.handlers.extend((f"/{API}{path}", route, given) for path, route in routes.ROUTES.items())

    async def stop_extension(self) -> None:
        """Ends the running exports, and closes the store."""
        await self.served.stop()

    @property
    def _base_url(self) -> str:
        return str(self.settings["base_url"])
