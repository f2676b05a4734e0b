// ANCHOR: all
//! Starts a worker, kills it, and waits for its end.

use std::env;
use std::io;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

fn parent() -> Result<()> {
    let mut worker = Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the worker")?;
    worker.kill().context("cannot kill the worker")?;
    let status = worker.wait().context("cannot wait for the worker")?;
    println!("{status}");
    Ok(())
}

/// Waits for the end of its standard input.
fn worker() -> Result<()> {
    io::read_to_string(io::stdin()).context("cannot read")?;
    Ok(())
}
// ANCHOR_END: all
