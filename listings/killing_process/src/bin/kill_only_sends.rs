// ANCHOR: all
//! Proves that kill returns when a signal is sent, not when it has acted.

use std::env;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let mut worker = Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the worker")?;
    let pid = Pid::from_raw(worker.id().try_into()?);
    // A stopped process does nothing until it is told to continue.
    kill(pid, Signal::SIGSTOP)?;
    let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
    assert_eq!(stopped, WaitStatus::Stopped(pid, Signal::SIGSTOP));

    assert_eq!(kill(pid, Signal::SIGTERM), Ok(()));
    assert!(worker.try_wait()?.is_none());

    kill(pid, Signal::SIGCONT)?;
    assert_eq!(worker.wait()?.signal(), Some(15));
    println!("kill returned Ok, the worker was there, wait saw it go");
    Ok(())
}
// ANCHOR_END: proof

fn worker() -> Result<()> {
    io::copy(&mut io::stdin(), &mut io::sink())
        .context("cannot read standard input")?;
    Ok(())
}
// ANCHOR_END: all
