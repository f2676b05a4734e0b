// ANCHOR: all
//! Gives each worker its name in place of the program's, so that `ps` shows it.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{env, process};

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
    let names = [Some("Worker-1"), Some("Downloader-Process"), None];
    for (name, number) in names.into_iter().zip(1..) {
        let name = match name {
            Some(name) => name.to_owned(),
            None => format!("Process-{number}"),
        };
        // ANCHOR: arg0
        let mut worker = Command::new(env::current_exe()?)
            .arg0(&name)
            .args(["worker", &name])
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        // ANCHOR_END: arg0
        let status = worker
            .wait()
            .with_context(|| format!("cannot wait for {name}"))?;
        eprintln!("[MainProcess] {name} ended: {status}");
        ensure!(status.success(), "{name} has failed: {status}");
    }
    Ok(())
}

// ANCHOR: ask_ps
fn worker(name: &str) -> Result<()> {
    let pid = process::id().to_string();
    let output = Command::new("ps")
        .args(["-ww", "-o", "args=", "-p", &pid])
        .output()
        .context("cannot run ps")?;
    ensure!(output.status.success(), "ps: {}", output.status);
    eprint!("[{name}] ps: {}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
// ANCHOR_END: ask_ps
// ANCHOR_END: all
