"""Results of functions, kept by what they were called with: in memory, and in a store that processes share."""
