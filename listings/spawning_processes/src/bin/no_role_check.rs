// ANCHOR: all
//! Starts itself without a role check, stopped only by a count.

use std::os::unix::process::parent_id;
use std::process::{Command, Stdio};
use std::{env, process};

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
    println!("{}, child of {}", process::id(), parent_id());
    // The real mistake has no limit.
    if generation < LIMIT {
        let next = (generation + 1).to_string();
        let status = again(&next)?.status().context("cannot go on")?;
        ensure!(status.success(), "generation {next}: {status}");
    }
    Ok(())
}

fn parent() -> Result<()> {
    let mut parent = process::id().to_string();
    let mut count = 0;
    for line in log_of_one_worker()?.lines() {
        let (child, of) = line.split_once(", child of ").context("line")?;
        assert_eq!(of, parent);
        (parent, count) = (child.to_owned(), count + 1);
    }
    assert_eq!(count, LIMIT);
    println!("started one worker, got {count} processes");
    Ok(())
}
// ANCHOR_END: proof

fn log_of_one_worker() -> Result<String> {
    let mut worker = again("1")?;
    let output = worker.stderr(Stdio::inherit()).output();
    let output = output.context("cannot run the worker")?;
    ensure!(output.status.success(), "the worker: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

fn again(generation: &str) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["unchecked", generation]);
    Ok(command)
}
// ANCHOR_END: all
