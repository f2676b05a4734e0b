// ANCHOR: all
//! Sends SIGTERM to a worker whose parent had blocked it, with and without
//! unblocking it in between.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{SigHandler, SigSet, Signal, kill, signal};
use nix::unistd::Pid;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

fn worker() -> Result<()> {
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink())
        .context("cannot read standard input")?;
    Ok(())
}

fn parent() -> Result<()> {
    // Whoever has started this program may have it ignored.
    // SAFETY: the default action runs no code of this process.
    unsafe { signal(Signal::SIGTERM, SigHandler::SigDfl) }?;
    // ANCHOR: proof
    let term = SigSet::from(Signal::SIGTERM);
    term.thread_block().context("cannot block SIGTERM")?;

    let mut command = Command::new(env::current_exe()?);
    command
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let status = terminate(&mut command)?;
    assert_eq!((status.code(), status.signal()), (Some(0), None));
    println!("mask inherited: {status}");

    // SAFETY: changing the signal mask is async-signal-safe.
    unsafe { command.pre_exec(move || Ok(term.thread_unblock()?)) };
    let status = terminate(&mut command)?;
    assert_eq!((status.code(), status.signal()), (None, Some(15)));
    println!("mask restored:  {status}");
    // ANCHOR_END: proof
    Ok(())
}

/// Starts a worker, sends SIGTERM, closes its standard input and joins it.
fn terminate(command: &mut Command) -> Result<ExitStatus> {
    let mut worker = command.spawn().context("cannot start the worker")?;
    let output = worker.stdout.take().context("the worker has no output")?;
    let mut line = String::new();
    let read = BufReader::new(output).read_line(&mut line);
    let sent = kill(Pid::from_raw(worker.id() as i32), Signal::SIGTERM);
    let status = worker.wait().context("cannot wait for the worker")?;
    read.context("cannot read from the worker")?;
    ensure!(line == "ready\n", "the worker said {line:?}, then {status}");
    sent.context("cannot send SIGTERM to the worker")?;
    Ok(status)
}
// ANCHOR_END: all
