//! Tests of names, entries and tables; each rule has its own beside it.
