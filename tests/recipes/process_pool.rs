//! Section `process_pool`.
