"""A RunPod serverless speech worker."""
