"""A service, event by event: requests, queues, batches, and what users see of them.

Must not know chips or models: the price of a step is a function that is handed in.
"""
