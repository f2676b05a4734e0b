//! Section `communicating_with_pipes`.

use running::supervise::{Outcome, Supervised};

use crate::{SUPERVISOR, executable};

/// GNU's env; a shell's trap does not reach so far for this signal.
const IGNORE_SIGCHLD: &str = r#"exec env --ignore-signal=CHLD "$1""#;

/// Runs a script of the shell that becomes the program, `$1`.
fn run(script: &str, program: &str) -> Outcome {
    let outcome = Supervised::new(SUPERVISOR, "sh")
        .args(["-c", script, "sh"])
        .arg(executable(program))
        .run()
        .unwrap();
    assert!(outcome.faults.is_empty(), "{:?}", outcome.faults);
    outcome
}

fn assert_all_answered(outcome: &Outcome) {
    let output = &outcome.output;
    assert_eq!(outcome.code, Some(0), "{output}");
    assert!(output.contains("victim: signal: 9 (SIGKILL)"), "{output}");
    assert!(output.contains("accounted for: 500 of 500"), "{output}");
}

/// The file is gone, as after an update, and the children are started from
/// the program that runs.
#[test]
#[cfg(target_os = "linux")]
fn no_child_is_started_from_a_file_that_was_replaced() {
    let script = r#"
        cp "$1" program && exec 9< program && rm program &&
        exec /proc/self/fd/9
    "#;
    assert_all_answered(&run(script, "resent_frames"));
}

/// The exit status is there although the starter has SIGCHLD ignored.
#[test]
#[cfg(target_os = "linux")]
fn an_ignored_sigchld_hides_how_a_child_ended() {
    assert_all_answered(&run(IGNORE_SIGCHLD, "resent_frames"));
}

/// Nobody can wait for the child, and the error is of that and not of the
/// start or of the answers.
#[test]
#[cfg(target_os = "linux")]
fn a_wait_that_fails_is_blamed_on_something_else() {
    for program in ["framed_messages", "typed_lines"] {
        let outcome = run(IGNORE_SIGCHLD, program);
        let output = &outcome.output;
        assert_eq!(outcome.code, Some(1), "{output}");
        let expected = "Error: cannot wait for the child\n\nCaused by:\n    \
                        No child processes";
        assert!(output.contains(expected), "{output}");
    }
}

/// Nobody can read what the programs say: that is an error, the child is
/// waited for, and nothing panics.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_a_panic() {
    for program in [
        "communicating_with_pipes",
        "framed_messages",
        "typed_lines",
        "resent_frames",
    ] {
        let outcome = run(r#"exec "$1" > /dev/full"#, program);
        let output = &outcome.output;
        assert_eq!(outcome.code, Some(1), "{program}: {output}");
        assert!(output.contains("No space left on device"), "{output}");
        assert!(!output.contains("panicked"), "{program}: {output}");
    }
}
