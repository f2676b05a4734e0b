//! Section `communicating_with_pipes`.
