// ANCHOR: all
//! Hands a worker its name, and the worker puts the name before its line.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

// ANCHOR: name_argument
fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => parent(),
        Some("worker") => worker(&args.next().context("a name is missing")?),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

fn parent() -> Result<()> {
    let status = Command::new(env::current_exe()?)
        .args(["worker", "Worker-1"])
        .status()
        .context("cannot run Worker-1")?;
    ensure!(status.success(), "Worker-1 has failed: {status}");
    Ok(())
}

fn worker(name: &str) -> Result<()> {
    eprintln!("[{name}] started");
    Ok(())
}
// ANCHOR_END: name_argument
// ANCHOR_END: all
