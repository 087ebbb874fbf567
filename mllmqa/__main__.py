"""``python -m mllmqa`` is the ``mllmqa`` command."""

from mllmqa.cli.app import main

if __name__ == "__main__":
    main()
