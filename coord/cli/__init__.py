"""The `coord` command. How gRPC waits for the network has to be chosen before it is imported."""

from coord.grpc_io import poll_in_place

poll_in_place()
