"""Measures the worker beside FunASR's own building blocks; `make bench` runs it."""
