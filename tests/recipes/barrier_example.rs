//! Section `barrier_example`.
