"""One file that fills a volume without a network: made, looked at, applied."""
