"""A served model under load: requests and their times, arithmetic on them, a server of our own.

The client, loads and arithmetic need no torch; only the server does. Must not know how a record is
kept or shown.
"""
