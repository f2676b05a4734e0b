//! Section `naming_process`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use running::supervise::Supervised;

use crate::{SUPERVISOR, executable};

/// The program said "cannot start Worker-1" though only the wait had failed.
#[test]
fn a_failed_wait_is_no_failed_start() {
    let outcome = Supervised::new(SUPERVISOR, "env")
        .arg("--ignore-signal=CHLD")
        .arg(executable("naming_process"))
        .run()
        .unwrap();
    let faults = outcome.faults_unless_exit(1);
    assert!(faults.is_empty(), "{faults:?}\n{}", outcome.output);
    let text = "cannot wait for Worker-1\n\nCaused by:\n    No child processes";
    assert!(outcome.output.contains(text), "{}", outcome.output);
}

#[test]
fn a_name_that_is_not_utf8_is_no_panic() {
    let outcome = Supervised::new(SUPERVISOR, executable("naming_process"))
        .args(["worker".as_ref(), OsStr::from_bytes(b"W\xFF")])
        .run()
        .unwrap();
    let faults = outcome.faults_unless_exit(0);
    assert!(faults.is_empty(), "{faults:?}\n{}", outcome.output);
    assert_eq!(outcome.output, "[W\u{FFFD}] started\n");
}

/// A worker was left behind when `ps` could not be run.
#[test]
fn a_failed_look_leaves_no_worker_behind() {
    let outcome = Supervised::new(SUPERVISOR, executable("seen_from_outside"))
        .env("PATH", "/nowhere")
        .run()
        .unwrap();
    let faults = outcome.faults_unless_exit(1);
    assert!(faults.is_empty(), "{faults:?}\n{}", outcome.output);
    assert!(
        outcome.output.contains("cannot run ps"),
        "{}",
        outcome.output
    );
}
