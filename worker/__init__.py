"""A RunPod serverless speech worker."""

__version__ = "0.5.0"
