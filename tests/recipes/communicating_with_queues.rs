//! Section `communicating_with_queues`.
