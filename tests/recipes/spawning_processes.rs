//! Section `spawning_processes`.
