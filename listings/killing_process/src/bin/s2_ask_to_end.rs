// ANCHOR: all
//! Asks a worker to end, and waits for its end.

use std::env;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

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
    // ANCHOR: ask
    let pid = Pid::from_raw(worker.id().try_into()?);
    kill(pid, Signal::SIGTERM).context("cannot send SIGTERM")?;
    let status = worker.wait().context("cannot wait for the worker")?;
    println!("{status}");
    println!("code: {:?}, signal: {:?}", status.code(), status.signal());
    // ANCHOR_END: ask
    ensure!(
        status.signal() == Some(15),
        "SIGTERM is blocked or ignored here"
    );
    Ok(())
}

fn worker() -> Result<()> {
    io::read_to_string(io::stdin()).context("cannot read")?;
    Ok(())
}
// ANCHOR_END: all
