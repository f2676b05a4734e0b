// ANCHOR: all
//! Proves that an ignored SIGCHLD frees a child's number before any wait.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::{env, process};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;
use signal_hook::consts::SIGCHLD;
use signal_hook::flag;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => starter(),
        Some("parent") => parent(),
        Some("child") => child(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"parent\" or \"child\"")
        }
    }
}

// ANCHOR: starter
fn starter() -> Result<()> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("parent");
    let ignore = || {
        // SAFETY: SIG_IGN installs no handler.
        unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }?;
        Ok(())
    };
    // SAFETY: changing what a signal does is async-signal-safe.
    unsafe { command.pre_exec(ignore) };
    let mut parent = command.spawn().context("cannot start the parent")?;
    let status = parent.wait().context("cannot wait for the parent")?;
    ensure!(status.success(), "the parent failed: {status}");
    Ok(())
}
// ANCHOR_END: starter

// ANCHOR: proof
fn parent() -> Result<()> {
    let mut child = start_child()?;
    let number = Pid::from_raw(child.id().try_into()?);
    assert_eq!(kill(number, None), Ok(()));
    let Err(error) = child.wait() else {
        bail!("SIGCHLD is not ignored here");
    };
    println!("ignored: {error}");
    assert_eq!(error.raw_os_error(), Some(Errno::ECHILD as i32));
    // No `wait` has got the status, and yet nobody has the number.
    assert_eq!(kill(number, None), Err(Errno::ESRCH));

    flag::register(SIGCHLD, Arc::default())?;
    let status = start_child()?.wait()?;
    println!("not ignored: {status}");
    assert_eq!(status.code(), Some(7));
    Ok(())
}
// ANCHOR_END: proof

fn start_child() -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("child")
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the child")
}

/// Ends when its standard input does, which `wait` closes.
fn child() -> Result<()> {
    io::copy(&mut io::stdin(), &mut io::sink())?;
    process::exit(7)
}
// ANCHOR_END: all
