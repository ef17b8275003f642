"""`python -m crossgrade` is the command `crossgrade`."""

from crossgrade.cli.main import main

main()
