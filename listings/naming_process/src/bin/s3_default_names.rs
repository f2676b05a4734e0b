// ANCHOR: all
//! Gives a default name, which ends in a number, to a worker without a name.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => parent(),
        Some("worker") => worker(&args.next().context("a name is missing")?),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

fn parent() -> Result<()> {
    // ANCHOR: default_name
    let names = [Some("Worker-1"), Some("Downloader-Process"), None];
    for (name, number) in names.into_iter().zip(1..) {
        let name = match name {
            Some(name) => name.to_owned(),
            None => format!("Process-{number}"),
        };
        // ANCHOR_END: default_name
        let mut worker = Command::new(env::current_exe()?)
            .args(["worker", &name])
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let status = worker
            .wait()
            .with_context(|| format!("cannot wait for {name}"))?;
        eprintln!("[MainProcess] {name} ended: {status}");
        ensure!(status.success(), "{name} has failed: {status}");
    }
    Ok(())
}

fn worker(name: &str) -> Result<()> {
    eprintln!("[{name}] started");
    Ok(())
}
// ANCHOR_END: all
