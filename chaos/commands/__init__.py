"""The subcommands of `chaos`: a module each, with `register(app)`."""
