// ANCHOR: all
//! Proves that a worker inherits a blocked SIGTERM, and shows the way out.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal, kill};
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
    let sigterm = SigSet::from(Signal::SIGTERM);
    sigterm.thread_block()?;
    let mut command = Command::new(env::current_exe()?);
    command
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());

    let mut worker = command.spawn().context("cannot start the worker")?;
    kill(Pid::from_raw(worker.id().try_into()?), Signal::SIGTERM)?;
    assert!(answers(&mut worker)?);
    assert!(worker.wait()?.success());

    // SAFETY: between fork and exec this calls only pthread_sigmask, which is
    // async-signal-safe.
    unsafe { command.pre_exec(move || Ok(sigterm.thread_unblock()?)) };
    let mut worker = command.spawn().context("cannot start the worker")?;
    kill(Pid::from_raw(worker.id().try_into()?), Signal::SIGTERM)?;
    assert_eq!(worker.wait()?.signal(), Some(15));
    println!("blocked: SIGTERM had no effect; unblocked: it did");
    Ok(())
}
// ANCHOR_END: proof

fn answers(worker: &mut Child) -> Result<bool> {
    let input = worker.stdin.as_mut().context("no pipe to the worker")?;
    writeln!(input, "still there?")?;
    let output = worker.stdout.as_mut().context("no pipe from the worker")?;
    let mut answer = String::new();
    BufReader::new(output).read_line(&mut answer)?;
    Ok(answer == "still there?\n")
}

/// Sends every line back, until the end of its input.
fn worker() -> Result<()> {
    io::copy(&mut io::stdin(), &mut io::stdout())
        .context("cannot copy standard input")?;
    Ok(())
}
// ANCHOR_END: all
