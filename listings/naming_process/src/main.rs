// ANCHOR: all
//! Names three workers, and starts each line of the log with a name.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

// ANCHOR: main
fn main() -> Result<()> {
    let mut args = env::args_os().skip(1);
    match args.next() {
        None => parent(),
        Some(role) if role == "worker" => {
            worker(&args.next().context("a name is missing")?)
        }
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
        let mut worker = Command::new(env::current_exe()?)
            .args(["worker", &name])
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        // ANCHOR_END: name
        let status = worker
            .wait()
            .with_context(|| format!("cannot wait for {name}"))?;
        log("MainProcess", &format!("{name} ended: {status}"))?;
        ensure!(status.success(), "{name} has failed: {status}");
    }
    Ok(())
}

fn worker(name: &OsStr) -> Result<()> {
    log(&name.to_string_lossy(), "started")
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
