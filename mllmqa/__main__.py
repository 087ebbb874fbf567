"""``python -m mllmqa`` is the ``mllmqa`` command; both start here."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it with exit code 130, also while modules are still being imported."""
    try:
        from mllmqa.cli.app import main as run

        run()
    except KeyboardInterrupt:
        print("mllmqa: interrupted", file=sys.stderr)  # noqa: T201
        sys.exit(130)


if __name__ == "__main__":
    main()
