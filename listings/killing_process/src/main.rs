// ANCHOR: all
//! Ends three workers in three ways: by SIGTERM, by SIGKILL, and by joining.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

// ANCHOR: main
fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}
// ANCHOR_END: main

fn parent() -> Result<()> {
    // ANCHOR: terminate
    let mut worker = start_worker()?;
    println!("alive: {}", worker.try_wait()?.is_none());
    let pid = Pid::from_raw(worker.id().try_into()?);
    kill(pid, Signal::SIGTERM).context("cannot send SIGTERM to the worker")?;
    println!("terminate: {}", worker.wait()?);
    println!("alive: {}", worker.try_wait()?.is_none());
    // ANCHOR_END: terminate

    // ANCHOR: kill
    let mut worker = start_worker()?;
    worker.kill().context("cannot kill the worker")?;
    println!("kill: {}", worker.wait()?);
    // ANCHOR_END: kill

    // ANCHOR: join
    let mut worker = start_worker()?;
    // Closing the worker's standard input asks it to stop.
    drop(worker.stdin.take());
    println!("join: {}", worker.wait()?);
    // ANCHOR_END: join
    Ok(())
}

// ANCHOR: worker
fn worker() -> Result<()> {
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink())
        .context("cannot read standard input")?;
    Ok(())
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
    let output = worker.stdout.take().context("the worker has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line == "ready\n", "the worker said {line:?}, not \"ready\"");
    Ok(worker)
}
// ANCHOR_END: start
// ANCHOR_END: all
