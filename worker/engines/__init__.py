"""One file per network: arrays in, arrays out."""
