// ANCHOR: all
//! Starts itself without a role check, stopped only by a count.

use std::env;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

const LIMIT: u32 = 5;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => parent(),
        Some("unchecked") => {
            let count = args.next().context("\"unchecked\" needs a count")?;
            unchecked(count.parse()?)
        }
        Some(role) => bail!("unknown role {role:?}: expected \"unchecked\""),
    }
}

// ANCHOR: proof
/// A program that does not ask for its role: its worker does the same.
fn unchecked(generation: u32) -> Result<()> {
    println!("generation {generation}");
    // The real mistake has no limit.
    if generation < LIMIT {
        let next = (generation + 1).to_string();
        let status = again(&next)?.status()?;
        ensure!(status.success(), "generation {next}: {status}");
    }
    Ok(())
}

fn parent() -> Result<()> {
    let output = again("1")?.stderr(Stdio::inherit()).output()?;
    let log = String::from_utf8(output.stdout)?;
    assert_eq!(log.lines().count(), LIMIT as usize);
    println!("started one worker, got {} processes", log.lines().count());
    Ok(())
}
// ANCHOR_END: proof

fn again(generation: &str) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["unchecked", generation]);
    Ok(command)
}
// ANCHOR_END: all
