"""`python -m mrimpute`."""

from mrimpute.cli.app import main

main()
