"""A project's packages on the volume: resolved, built beside, switched to."""
