//! Section `multiprocessing_overview`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use running::supervise::Supervised;

use crate::{SUPERVISOR, executable, started_by};

#[test]
fn an_argument_that_is_not_utf8_is_no_panic() {
    let outcome =
        Supervised::new(SUPERVISOR, executable("multiprocessing_overview"))
            .arg(OsStr::from_bytes(b"wr\xFFng"))
            .run()
            .unwrap();
    let faults = outcome.faults_unless_exit(1);
    assert!(faults.is_empty(), "{faults:?}\n{}", outcome.output);
    assert!(
        outcome.output.contains("unknown role \"wr\\xFFng\""),
        "{}",
        outcome.output
    );
}

/// The parent returned at its first failed `println!`, which panicked, and
/// the workers were left with nobody to wait for them.
#[test]
fn a_full_disk_leaves_no_worker_behind() {
    let outcome =
        started_by("exec \"$0\" >/dev/full", "multiprocessing_overview");
    let faults = outcome.faults_unless_exit(1);
    assert!(faults.is_empty(), "{faults:?}\n{}", outcome.output);
    assert!(
        outcome.output.contains("No space left on device"),
        "{}",
        outcome.output
    );
    assert!(!outcome.output.contains("panicked"), "{}", outcome.output);
}

/// One failed wait left three workers that nobody waited for, and did not
/// say that it was a wait.
#[test]
fn an_ignored_sigchld_is_named_as_a_failed_wait() {
    for program in ["multiprocessing_overview", "start_then_join"] {
        let outcome =
            started_by("exec env --ignore-signal=CHLD \"$0\"", program);
        let faults = outcome.faults_unless_exit(1);
        assert!(
            faults.is_empty(),
            "{program}: {faults:?}\n{}",
            outcome.output
        );
        for text in ["cannot wait for", "No child processes"] {
            assert!(
                outcome.output.contains(text),
                "{program}: {}",
                outcome.output
            );
        }
    }
}
