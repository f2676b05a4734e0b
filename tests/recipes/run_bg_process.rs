//! Section `run_bg_process`.
