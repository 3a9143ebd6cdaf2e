"""A one-off pod that fills its volume by itself, and how to start one."""
