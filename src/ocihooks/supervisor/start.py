"""Starts the supervisor from the package itself, for bundles that got their hooks without an installed wrapper."""

import sys

if __name__ == "__main__":
    sys.path.append(__file__.rpartition("/ocihooks/")[0])
    from ocihooks.supervisor.main import main

    main()
