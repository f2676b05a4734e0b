//! Section `naming_process`.
