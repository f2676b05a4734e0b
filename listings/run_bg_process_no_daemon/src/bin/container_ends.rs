// ANCHOR: all
//! Ends process 1 of a container under a worker that has left the session.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::setsid;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => observer(),
        Some("first") => first(),
        Some("worker") => worker(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"first\" or \"worker\"")
        }
    }
}

fn observer() -> Result<()> {
    // If our starter ignored SIGCHLD, nobody could be waited for.
    // SAFETY: the default action runs no code of this process.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    if let Err(refusal) = enter_container()? {
        return not_shown(refusal);
    }
    detached_worker_is_killed()?;
    println!("the detached worker: killed with process 1");
    Ok(())
}

/// A machine may refuse what the proof needs, unless it is there to prove it.
fn not_shown(refusal: Errno) -> Result<()> {
    let ci = env::var_os("CI").is_some_and(|ci| ci == "true");
    ensure!(!ci, "this machine refuses a PID namespace: {refusal}");
    println!("not shown, this machine refuses a PID namespace: {refusal}");
    Ok(())
}

fn detached_worker_is_killed() -> Result<()> {
    let mut first = Command::new(env::current_exe()?)
        .arg("first")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start process 1")?;
    let lifeline = first.stdin.take();
    let output = first.stdout.take().context("process 1 has no output")?;
    let mut output = BufReader::new(output);
    let mut line = String::new();
    output.read_line(&mut line)?;
    if line != "detached\n" {
        first.kill()?; // and with it whatever it has started
        first.wait()?;
        bail!("the worker said {line:?}, not \"detached\"");
    }
    // ANCHOR: proof
    first.kill()?;
    first.wait()?;
    // The worker's output hangs up when the worker ends.
    let mut ends = [PollFd::new(output.get_ref().as_fd(), PollFlags::empty())];
    assert_eq!(poll(&mut ends, 10_000_u16)?, 1, "the worker lives");
    // It had no time for last words, and its lifeline was whole.
    assert_eq!(output.read_line(&mut line)?, 0);
    drop(lifeline);
    // ANCHOR_END: proof
    Ok(())
}

// ANCHOR: enter
/// The children of this process live in a new PID namespace from now on. The
/// first one is its process 1. The inner error says that the machine refuses.
#[cfg(target_os = "linux")]
fn enter_container() -> Result<nix::Result<()>> {
    use nix::sched::{CloneFlags, unshare};
    match unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID) {
        Ok(()) => Ok(Ok(())),
        Err(refusal @ (Errno::EPERM | Errno::ENOSPC)) => Ok(Err(refusal)),
        Err(error) => Err(error).context("cannot make a PID namespace"),
    }
}
// ANCHOR_END: enter

#[cfg(not(target_os = "linux"))]
fn enter_container() -> Result<nix::Result<()>> {
    Ok(Err(Errno::ENOSYS))
}

fn first() -> Result<()> {
    Command::new(env::current_exe()?)
        .arg("worker")
        .status()
        .context("cannot run the worker")?;
    Ok(())
}

fn worker() -> Result<()> {
    setsid().context("cannot leave the session")?;
    println!("detached");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    println!("came to the end of the lifeline");
    Ok(())
}
// ANCHOR_END: all
