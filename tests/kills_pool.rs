//! A pool survives the death of any worker, and no worker survives the death
//! of the pool.

use anyhow::{Result, ensure};
use harness::kills::{self, Summary};
use harness::supervise::Outcome;

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_supervise");

fn hunt(
    name: &str,
    judge: impl Fn(&Outcome) -> Option<String>,
) -> Result<Summary> {
    let program = kills::program(SUPERVISOR, "process_pool", name)?;
    kills::run(&program, |outcome, killed| match killed.program {
        true => None,
        false => judge(outcome),
    })
}

/// Every task is answered, be it by an error that names the death.
fn answers(outcome: &Outcome, expected: usize) -> Option<String> {
    let answers = outcome.output.matches("\n  task ").count();
    (answers != expected).then(|| format!("{answers} answers"))
}

#[test]
fn process_pool() -> Result<()> {
    hunt("process_pool", |_| None)?.without_faults()?;
    Ok(())
}

#[test]
fn unordered_chunks() -> Result<()> {
    hunt("unordered_chunks", |_| None)?.without_faults()?;
    Ok(())
}

#[test]
fn tasks_in_flight() -> Result<()> {
    let summary = hunt("tasks_in_flight", |outcome| answers(outcome, 12))?;
    let summary = summary.without_faults()?;
    ensure!(summary.failed == 0, "{summary}");
    Ok(())
}

#[test]
fn windowed_pool() -> Result<()> {
    let summary = hunt("windowed_pool", |outcome| {
        let accounts = outcome.output.matches("accounted for").count();
        (accounts != 5).then(|| format!("{accounts} accounts"))
    })?;
    summary.without_loss()?;
    Ok(())
}

#[test]
fn task_deadline() -> Result<()> {
    hunt("task_deadline", |_| None)?.without_faults()?;
    Ok(())
}

#[test]
fn close_join_terminate() -> Result<()> {
    hunt("close_join_terminate", |_| None)?.without_faults()?;
    Ok(())
}
