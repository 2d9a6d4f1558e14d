"""`python -m geodeeplab` is the command line."""

from geodeeplab.cli import main

main()
