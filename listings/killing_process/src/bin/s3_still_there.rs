// ANCHOR: all
//! Shows that a worker is still there when the signal has been sent.

use std::env;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
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
    let pid = Pid::from_raw(worker.id().try_into()?);
    // ANCHOR: stopped
    kill(pid, Signal::SIGSTOP).context("cannot stop the worker")?;
    waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
    kill(pid, Signal::SIGTERM).context("cannot send SIGTERM")?;
    let after_kill = worker.try_wait()?;
    kill(pid, Signal::SIGCONT).context("cannot continue the worker")?;
    let status = worker.wait().context("cannot wait for the worker")?;
    println!("after kill: {after_kill:?}");
    println!("after wait: {status}");
    // ANCHOR_END: stopped
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
