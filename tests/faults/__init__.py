"""What a volume goes through, with figures: ``python -m tests.faults``."""
