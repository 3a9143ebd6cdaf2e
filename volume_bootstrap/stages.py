"""Names of what a run is doing, for those who look at it with -v; `make faults` kills by them."""

import logging

logger = logging.getLogger(__name__)


def stage(name: str) -> None:
    """Tell that a stage begins."""
    logger.debug("stage: %s", name)
