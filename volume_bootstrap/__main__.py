"""``python -m volume_bootstrap``."""

from volume_bootstrap.cli.app import main

if __name__ == "__main__":
    main()
