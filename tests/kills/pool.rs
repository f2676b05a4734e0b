//! A pool survives the death of any worker, and no worker survives the death
//! of the pool.

use crate::SUPERVISOR;
use anyhow::{Result, ensure};
use running::kills::{self, Summary};
use running::supervise::Outcome;

/// Runs a program of the pool; `judge` looks at what it says if it lives, and
/// `check` at all runs together.
fn hunt(
    name: &str,
    judge: impl Fn(&Outcome) -> Option<String>,
    check: impl FnOnce(Summary) -> Result<()>,
) -> Result<()> {
    kills::once(SUPERVISOR, "process_pool", name, |program| {
        let summary =
            kills::run(&program, |outcome, killed| match killed.program {
                true => None,
                false => judge(outcome),
            })?;
        check(summary)
    })
}

fn no_faults(summary: Summary) -> Result<()> {
    summary.without_faults().map(|_| ())
}

/// Every task is answered, be it by an error that names the death.
fn answers(outcome: &Outcome, expected: usize) -> Option<String> {
    let answers = outcome.output.matches("\n  task ").count();
    (answers != expected).then(|| format!("{answers} answers"))
}

#[test]
fn process_pool() -> Result<()> {
    hunt("process_pool", |_| None, no_faults)
}

#[test]
fn unordered_chunks() -> Result<()> {
    hunt("unordered_chunks", |_| None, no_faults)
}

#[test]
fn tasks_in_flight() -> Result<()> {
    let judge = |outcome: &Outcome| answers(outcome, 12);
    hunt("tasks_in_flight", judge, |summary| {
        let summary = summary.without_faults()?;
        ensure!(summary.failed == 0, "{summary}");
        Ok(())
    })
}

#[test]
fn windowed_pool() -> Result<()> {
    let judge = |outcome: &Outcome| {
        let accounts = outcome.output.matches("accounted for").count();
        (accounts != 5).then(|| format!("{accounts} accounts"))
    };
    hunt("windowed_pool", judge, |summary| {
        summary.without_loss().map(|_| ())
    })
}

#[test]
fn task_deadline() -> Result<()> {
    hunt("task_deadline", |_| None, no_faults)
}

#[test]
fn close_join_terminate() -> Result<()> {
    hunt("close_join_terminate", |_| None, no_faults)
}
