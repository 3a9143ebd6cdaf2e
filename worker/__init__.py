"""A RunPod serverless speech worker."""

__version__ = "0.6.0"
