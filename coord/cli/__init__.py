"""The `coord` command. How gRPC waits for the network, and what it says, has to be chosen before it
is imported."""

from coord.node.grpc_io import keep_quiet, poll_in_place

poll_in_place()
keep_quiet()
