"""`python -m agentnode`."""

from agentnode.cli import main

main()
