"""`python -m isohash` is the command line."""

from isohash.apps.cli.main import main

if __name__ == "__main__":
    main()
