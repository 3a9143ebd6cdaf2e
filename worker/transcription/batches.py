"""Segments -> batches: equal lengths together, as much padded audio in each as the memory takes."""

from collections.abc import Iterator, Sequence


def batches(lengths_s: Sequence[float], padded_s: float, fixed_s: float) -> Iterator[list[int]]:
    """Group segments into batches of at most `padded_s`, the longest first.

    The longest come first: where the memory does not suffice, it shows at once.

    Parameters
    ----------
    lengths_s : of the segments in seconds
    padded_s : number of segments times the longest of a batch; a single one may be longer
    fixed_s : what a shorter segment counts

    Yields
    ------
    Indices into `lengths_s`; each comes once.
    """
    order = sorted(range(len(lengths_s)), key=lambda i: -lengths_s[i])
    while order:
        longest = max(lengths_s[order[0]], fixed_s)
        size = max(1, int(padded_s / longest)) if longest else len(order)
        yield order[:size]
        order = order[size:]
