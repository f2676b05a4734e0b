//! Section `process_with_subclass`.
