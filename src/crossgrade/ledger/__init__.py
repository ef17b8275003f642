"""Claims that others published about models on chips, kept beside our own results.

Must not know torch, nor whether a claim is believed: it keeps who said what, where and when.
"""
