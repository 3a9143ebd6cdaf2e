"""A mount that only chosen programs see, made without being root: user and mount namespaces."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path


class NamespaceError(Exception):
    """This machine gives no namespaces, so a disk can be neither filled nor made read-only."""


@contextlib.contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[list[str]]:
    """Lay an empty file system of so many MB over `folder`.

    Yields
    ------
    The words before a command that shall see it. What is on it is gone when the block ends.

    Raises
    ------
    NamespaceError
        The namespace or the mount is refused.
    """
    script = f'mount -t tmpfs -o size={size_mb}m none "$1"'
    with _namespace(script, folder) as prefix:
        yield prefix


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[list[str]]:
    """Let `folder` be read-only for the commands behind the yielded words.

    Raises
    ------
    NamespaceError
        The namespace or the mount is refused.
    """
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"'
    with _namespace(script, folder) as prefix:
        yield prefix


@contextlib.contextmanager
def own_mount(folder: Path) -> Iterator[list[str]]:
    """Let `folder` be a mount that commands behind the yielded words may change.

    Raises
    ------
    NamespaceError
        The namespace or the mount is refused.
    """
    with _namespace('mount --bind "$1" "$1"', folder) as prefix:
        yield prefix


@contextlib.contextmanager
def _namespace(script: str, folder: Path) -> Iterator[list[str]]:
    """Keep a namespace while the block runs: a program in it waits for our end."""
    holds = ["sh", "-c", f"{script} && echo ready && exec cat", "sh", str(folder)]
    try:
        holder = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--mount", *holds],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    except OSError as error:
        raise NamespaceError(f"unshare cannot be started: {error.strerror}.") from error
    with holder:
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != "ready\n":
            raise NamespaceError(
                f"{folder} cannot be mounted in a namespace of its own: "
                f"{holder.stderr.read().strip()}. Allow user namespaces "
                "(sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns)."
            )
        target = ["--target", str(holder.pid), "--user", "--mount", "--preserve-credentials"]
        yield ["nsenter", *target, "--wd=.", "--"]
