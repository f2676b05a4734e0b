//! Section `run_bg_process`.

use running::supervise::Outcome;

use crate::started_by;

fn assert_clear_error(outcome: &Outcome, text: &str) {
    let faults = outcome.faults_unless_exit(1);
    assert!(faults.is_empty(), "{faults:?}\n{}", outcome.output);
    assert!(!outcome.output.contains("panicked"), "{}", outcome.output);
    assert!(outcome.output.contains(text), "{}", outcome.output);
}

/// The logger panicked, main said "broken pipe" and left it as a zombie.
#[test]
fn a_full_disk_is_named_and_the_logger_is_joined() {
    let outcome = started_by("exec \"$0\" >/dev/full", "run_bg_process");
    assert_clear_error(&outcome, "No space left on device");
}

/// The guard's wait failed, it said so, and the program reported success.
#[test]
fn an_ignored_sigchld_is_no_success() {
    for program in ["run_bg_process", "join_on_drop", "progress"] {
        let shell = "exec env --ignore-signal=CHLD \"$0\"";
        let outcome = started_by(shell, program);
        assert_clear_error(&outcome, "cannot wait for the");
        assert_clear_error(&outcome, "No child processes");
    }
}
