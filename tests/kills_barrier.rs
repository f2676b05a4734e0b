//! A barrier survives the death of any process: nobody waits for ever, and
//! nobody is left behind.

use anyhow::Result;
use harness::kills;

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_supervise");

fn hunt(name: &str) -> Result<()> {
    let program = kills::program(SUPERVISOR, "barrier_example", name)?;
    kills::run(&program, |_, _| None)?.without_faults()?;
    Ok(())
}

#[test]
fn barrier_example() -> Result<()> {
    hunt("barrier_example")
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
