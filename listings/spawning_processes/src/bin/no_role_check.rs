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

// ANCHOR: unchecked
/// What a program does whose `main` does not ask for its role: it starts a
/// worker, which is the same program and does the same.
fn unchecked(generation: u32) -> Result<()> {
    println!("generation {generation}");
    if generation == LIMIT {
        // The one thing that the real mistake does not have.
        return Ok(());
    }
    let status = Command::new(env::current_exe()?)
        .args(["unchecked", &(generation + 1).to_string()])
        .status()
        .context("cannot start the next generation")?;
    ensure!(status.success(), "generation {}: {status}", generation + 1);
    Ok(())
}
// ANCHOR_END: unchecked

fn parent() -> Result<()> {
    // ANCHOR: proof
    let output = Command::new(env::current_exe()?)
        .args(["unchecked", "1"])
        .stderr(Stdio::inherit())
        .output()?;
    let log = String::from_utf8(output.stdout)?;
    assert_eq!(log.lines().count(), LIMIT as usize);
    println!("started one worker, got {} processes", log.lines().count());
    // ANCHOR_END: proof
    Ok(())
}
// ANCHOR_END: all
