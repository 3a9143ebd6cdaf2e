"""``python -m volume_bootstrap``."""

from volume_bootstrap.cli import main

if __name__ == "__main__":
    main()
