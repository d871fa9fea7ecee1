"""Where the time of one durable write goes: moments noted in a client, a leader and its followers.

    .venv/bin/python -m bench.timeline [PUTS]

Three nodes run as they always do, except that some of their methods note when they begin or end, on
the clock that all processes of a machine share. One caller puts one small value after the other;
the table has the median of each step, on the way through the follower that acknowledged first.
Noting takes about a microsecond each time; nothing else should run on the machine.
"""
