"""Benchmarks: this store and what people use instead, on the same work, in the same run.

`cli` reads the options, `runner` takes every point of every scenario in turns over the systems
and rounds, `systems` start and stop servers, `drivers` do the operations in a client process of
their own (`client_process`), `scenarios` say what is done, `report`, `table` and `plot` show it.
"""
