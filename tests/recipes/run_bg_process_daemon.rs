//! Section `run_bg_process_daemon`.
