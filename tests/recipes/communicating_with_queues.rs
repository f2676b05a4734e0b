//! Section `communicating_with_queues`.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use running::supervise::{Outcome, Supervised};
use tempfile::{NamedTempFile, TempDir};

use crate::{SUPERVISOR, executable};

/// Runs a program whose starter ignores SIGCHLD: no child leaves a status.
fn without_statuses(program: &str) -> Result<Outcome> {
    let (witness, place) = (NamedTempFile::new()?, TempDir::new()?);
    let outcome = Supervised::new(SUPERVISOR, env!("CARGO_BIN_EXE_under"))
        .arg("sigchld_ignored")
        .arg(witness.path())
        .arg(place.path())
        .arg("0")
        .arg(executable(program))
        .deadline(Duration::from_secs(20))
        .run()?;
    let seen = fs::read_to_string(witness.path())?;
    ensure!(seen == "took effect\n", "{seen}");
    let faults = outcome.faults_unless_exit(1);
    ensure!(
        faults.is_empty(),
        "{}\n{}",
        faults.join("; "),
        outcome.output
    );
    Ok(outcome)
}

/// The end of a consumer was reported only if `wait` had a status for it.
#[test]
fn a_consumer_without_a_status_was_waited_for_for_ever() -> Result<()> {
    let output = without_statuses("broker_with_credits")?.output;
    for text in [
        "a consumer has ended: cannot wait for it: No child processes",
        "accounted for: 100 of 100, lost 0, doubled 0",
        "Error: a producer has ended: cannot wait for it: No child processes",
    ] {
        ensure!(output.contains(text), "no {text:?} in\n{output}");
    }
    Ok(())
}

/// The first failed `wait` threw all the answers away.
#[test]
fn a_failed_wait_cost_all_answers() -> Result<()> {
    let output = without_statuses("communicating_with_queues")?.output;
    for text in [
        "answers: A1 A2 A3 A4 A5 B1 B2 B3 B4 B5",
        "Error: producer a: cannot wait for it: No child processes",
    ] {
        ensure!(output.contains(text), "no {text:?} in\n{output}");
    }
    Ok(())
}
