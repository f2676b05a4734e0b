// ANCHOR: all
//! Starts two workers with names, one after the other, and logs their ends.

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

// ANCHOR: in_turn
fn parent() -> Result<()> {
    for name in ["Worker-1", "Downloader-Process"] {
        let mut worker = Command::new(env::current_exe()?)
            .args(["worker", name])
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
// ANCHOR_END: in_turn

fn worker(name: &str) -> Result<()> {
    eprintln!("[{name}] started");
    Ok(())
}
// ANCHOR_END: all
