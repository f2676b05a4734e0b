//! Section `run_bg_process_no_daemon`.
