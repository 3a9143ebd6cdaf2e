"""What volumes and workers go through, with figures: ``python -m tests.faults``."""
