"""A run of several processes under faults, and a checker that knows what each read may return.

``make stress`` runs every mode and prints one table (``python -m tests.stress --help``); a short form
is part of the tests.
"""
