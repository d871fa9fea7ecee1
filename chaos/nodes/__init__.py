"""Node processes on a machine whose disk and clocks can be hurt: the entry point of the harness.

    python -m chaos.nodes FOLDER    # of node.toml; looks at FOLDER/faults.json

The node inside is `coord serve`'s own, from the same configuration file; only the ports through
which it sees its disk and its clocks are others. Of this package the rest of the harness uses
`control` alone: it steers such nodes through files, and never reaches inside.
"""
