"""The command line: ``python -m volume_bootstrap``."""
