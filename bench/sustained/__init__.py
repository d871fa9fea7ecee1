"""Work that arrives at a steady rate for a long time while leaders are killed.

`submitter` hands tasks over and later looks at what became of each, `worker` claims and commits
them; both are clients in processes of their own (`process`) and write down what they were told
(`book`). `verdict` compares the books with each other and with the queue's own counters. `backlog`
and `memory` are the figures.
"""
