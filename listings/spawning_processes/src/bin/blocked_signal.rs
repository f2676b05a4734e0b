// ANCHOR: all
//! Sends SIGTERM to a worker whose parent had blocked it, with and without
//! unblocking it in between.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{SigSet, Signal, kill};
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
    // ANCHOR: proof
    let term = SigSet::from(Signal::SIGTERM);
    term.thread_block().context("cannot block SIGTERM")?;

    let mut command = Command::new(env::current_exe()?);
    command
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let status = terminate(command.spawn()?)?;
    assert_eq!((status.code(), status.signal()), (Some(0), None));
    println!("mask inherited: {status}");

    // SAFETY: changing the signal mask is async-signal-safe.
    unsafe { command.pre_exec(move || Ok(term.thread_unblock()?)) };
    let status = terminate(command.spawn()?)?;
    assert_eq!((status.code(), status.signal()), (None, Some(15)));
    println!("mask restored:  {status}");
    // ANCHOR_END: proof
    Ok(())
}

/// Sends SIGTERM, then closes the worker's standard input and joins it.
fn terminate(mut worker: Child) -> Result<ExitStatus> {
    let output = worker.stdout.take().context("the worker has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line == "ready\n", "the worker said {line:?}, not \"ready\"");
    let pid = Pid::from_raw(worker.id().try_into()?);
    kill(pid, Signal::SIGTERM).context("cannot send SIGTERM to the worker")?;
    worker.wait().context("cannot wait for the worker")
}
// ANCHOR_END: all
