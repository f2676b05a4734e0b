// ANCHOR: all
//! Ends three workers in three ways: by SIGTERM, by SIGKILL, and by joining.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{SigHandler, SigSet, Signal, kill, signal};
use nix::unistd::Pid;

// ANCHOR: main
fn main() -> Result<()> {
    match env::args_os().nth(1) {
        None => parent(),
        Some(role) if role == "worker" => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}
// ANCHOR_END: main

fn parent() -> Result<()> {
    let mut out = io::stdout();
    // ANCHOR: terminate
    let mut worker = start_worker()?;
    let alive = worker.try_wait()?.is_none();
    let pid = Pid::from_raw(worker.id().try_into()?);
    kill(pid, Signal::SIGTERM).context("cannot send SIGTERM to the worker")?;
    let status = worker.wait().context("cannot wait for the worker")?;
    writeln!(out, "alive: {alive}")?;
    writeln!(out, "terminate: {status}")?;
    writeln!(out, "alive: {}", worker.try_wait()?.is_none())?;
    // ANCHOR_END: terminate

    // ANCHOR: kill
    let mut worker = start_worker()?;
    worker.kill().context("cannot kill the worker")?;
    let status = worker.wait().context("cannot wait for the worker")?;
    writeln!(out, "kill: {status}")?;
    // ANCHOR_END: kill

    // ANCHOR: join
    let mut worker = start_worker()?;
    // Closing the worker's standard input asks it to stop.
    drop(worker.stdin.take());
    let status = worker.wait().context("cannot wait for the worker")?;
    writeln!(out, "join: {status}")?;
    // ANCHOR_END: join
    Ok(())
}

// ANCHOR: worker
fn worker() -> Result<()> {
    end_on_sigterm().context("cannot prepare for SIGTERM")?;
    writeln!(io::stdout(), "ready")?;
    io::copy(&mut io::stdin(), &mut io::sink())
        .context("cannot read standard input")?;
    Ok(())
}

/// Makes SIGTERM end this process, whatever it has inherited.
fn end_on_sigterm() -> nix::Result<()> {
    // SAFETY: the default action runs no code of this program.
    unsafe { signal(Signal::SIGTERM, SigHandler::SigDfl) }?;
    SigSet::from(Signal::SIGTERM).thread_unblock()
}
// ANCHOR_END: worker

// ANCHOR: start
fn start_worker() -> Result<Child> {
    let mut worker = Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the worker")?;
    if let Err(error) = hear_ready(&mut worker) {
        // Waiting closes its standard input, so it ends in any case.
        let status = worker.wait().context("cannot wait for the worker")?;
        return Err(error.context(format!("the worker has ended: {status}")));
    }
    Ok(worker)
}

fn hear_ready(worker: &mut Child) -> Result<()> {
    let output = worker.stdout.take().context("the worker has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line == "ready\n", "the worker said {line:?}, not \"ready\"");
    Ok(())
}
// ANCHOR_END: start
// ANCHOR_END: all
