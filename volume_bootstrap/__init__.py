"""Fills a network volume with what the worker needs: packages, models, samples."""

__version__ = "0.7.0"
