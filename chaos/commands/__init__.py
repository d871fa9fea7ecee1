"""The subcommands of `chaos`: a module each, with `register(app)`. What gRPC says of connections
that faults end has to be kept off the screen before it is imported."""

from coord.node.grpc_io import keep_quiet

keep_quiet()
