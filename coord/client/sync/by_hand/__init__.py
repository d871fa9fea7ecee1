"""What of the blocking client is written by hand, one module for each module of the async client.

`scripts/gen_sync_client` writes the rest. A class here that is called like one of the async module
is its blocking form: the generated methods take and return it in its place. `BlockingClient` is the
base of the generated client.
"""
