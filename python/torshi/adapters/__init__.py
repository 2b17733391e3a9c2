"""Adapters: `torshi.Store` in the places that frameworks have for caches, sessions and results.

One module for each framework, imported by its dotted name, since that is how their settings name it; none is imported
by anything else here. What a framework stores is sealed and checked as everything in a store is, and what cannot be
read counts as absent.
"""
