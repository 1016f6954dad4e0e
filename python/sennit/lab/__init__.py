"""The lab: the models of concurrency, each measured at the same work on this very machine.

A scenario (`waiting`) starts an origin and, one after the other, each model in a process of its
own (`worker`); what it used becomes a `Record` (`records`), which is shown as a table, written as
JSON or drawn as a page (`table`, `report`).
"""
