"""A RunPod serverless speech worker."""

__version__ = "0.4.0"
