// ANCHOR: all
//! Names three workers, and starts each line of the log with a name.

use std::env;
use std::io::{self, Write};
use std::process::Command;

use anyhow::{Context, Result, bail};

// ANCHOR: main
fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => parent(),
        Some("worker") => worker(&args.next().context("a name is missing")?),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}
// ANCHOR_END: main

fn parent() -> Result<()> {
    let names = [Some("Worker-1"), Some("Downloader-Process"), None];
    for (name, number) in names.into_iter().zip(1..) {
        // ANCHOR: name
        let name = match name {
            Some(name) => name.to_owned(),
            None => format!("Process-{number}"),
        };
        let status = Command::new(env::current_exe()?)
            .args(["worker", &name])
            .status()
            .with_context(|| format!("cannot start {name}"))?;
        // ANCHOR_END: name
        log("MainProcess", &format!("{name} ended: {status}"))?;
    }
    Ok(())
}

fn worker(name: &str) -> Result<()> {
    log(name, "started")
}

// ANCHOR: log
/// Writes one line in one piece, which `eprintln!` does not.
fn log(name: &str, message: &str) -> Result<()> {
    let line = format!("[{name}] {message}\n");
    io::stderr()
        .write_all(line.as_bytes())
        .context("cannot write the log")
}
// ANCHOR_END: log
// ANCHOR_END: all
