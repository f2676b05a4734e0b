// ANCHOR: all
//! Starts one worker and waits until it has ended.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("add") => add(),
        Some(role) => bail!("unknown role {role:?}: expected \"add\""),
    }
}

fn parent() -> Result<()> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("add");
    let mut adder = command.spawn().context("cannot start the worker")?;
    adder.wait().context("cannot wait for the worker")?;
    println!("the worker has ended");
    Ok(())
}

fn add() -> Result<()> {
    println!("2 + 40 = {}", 2 + 40);
    Ok(())
}
// ANCHOR_END: all
