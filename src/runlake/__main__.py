"""`python -m runlake`: the same as the command `runlake`."""

from runlake.cli import main

if __name__ == "__main__":
    main()
