"""Fills a network volume with what the worker needs: packages, models, samples."""
