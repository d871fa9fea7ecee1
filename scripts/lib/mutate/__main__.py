from scripts.lib.mutate.cli import main

main()
