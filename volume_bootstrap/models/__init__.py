"""A project's models on the volume: brought together, verified, given their names."""
