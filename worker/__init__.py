"""A RunPod serverless speech worker."""

__version__ = "0.7.0"
