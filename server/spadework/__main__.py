"""`python -m spadework` is the `spadework` command."""

from spadework.entry import main

main()
