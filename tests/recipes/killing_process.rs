//! Section `killing_process`.
