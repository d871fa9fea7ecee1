"""The `coord` command. A node started by it has to have chosen how gRPC waits before it is imported."""

from coord.grpc_io import poll_in_place

poll_in_place()
