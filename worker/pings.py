"""The SDK's pings, without the platform's address in the log.

Import this inside a function: its class is a subclass of the SDK's.
"""

import logging

import requests
from runpod.serverless.modules import rp_ping
from runpod.version import __version__ as sdk_version

logger = logging.getLogger(__name__)


def use() -> None:
    """Have the SDK's ping process, which it forks later, send these."""
    rp_ping.Heartbeat = Pings
    # Its warnings, one for each try, have the address, too.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


class Pings(rp_ping.Heartbeat):  # type: ignore[misc]  # the SDK has no types
    """Tells the platform which jobs are in work; this runs in a process of its own."""

    def _send_ping(self) -> None:
        """Send one as the SDK does, whose log has the address with its query where it fails."""
        names = self._mirror.get() if self._mirror is not None else None
        try:
            self._session.get(
                self.PING_URL,
                params={"job_id": names, "runpod_version": sdk_version},
                timeout=self.PING_INTERVAL * 2,
            )
        except requests.RequestException as error:
            logger.warning("the platform does not take pings: %s", type(error).__name__)
