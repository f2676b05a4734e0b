//! A barrier survives the death of any process: nobody waits for ever, and
//! nobody is left behind.

use crate::SUPERVISOR;
use anyhow::Result;
use running::kills;

/// The programs that report how each party has ended.
fn hunt(name: &str) -> Result<()> {
    kills::once(SUPERVISOR, "barrier_example", name, |program| {
        let summary = kills::run(&program, |outcome, _| {
            // 0 is done, 2 has heard of the break, 1 is any other end.
            let untold = outcome.output.contains("exit status: 1");
            untold.then(|| "a survivor was not told".to_owned())
        })?;
        summary.without_faults()?;
        Ok(())
    })
}

#[test]
fn barrier_example() -> Result<()> {
    let name = "barrier_example";
    kills::once(SUPERVISOR, name, name, |program| {
        kills::run(&program, |_, _| None)?.without_faults()?;
        Ok(())
    })
}

#[test]
fn broken_barrier() -> Result<()> {
    hunt("broken_barrier")
}

#[test]
fn cyclic_barrier() -> Result<()> {
    hunt("cyclic_barrier")
}

#[test]
fn futex_barrier() -> Result<()> {
    hunt("futex_barrier")
}
