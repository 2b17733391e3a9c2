"""The attack corpus: hostile pickles, written by readable code, and what must become of each."""
