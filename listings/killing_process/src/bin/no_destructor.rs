// ANCHOR: all
//! Proves that a worker which SIGTERM ends runs no destructor.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};

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

// ANCHOR: worker
fn worker() -> Result<()> {
    end_on_sigterm().context("cannot prepare for SIGTERM")?;
    let _journal = Journal;
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink())
        .context("cannot read standard input")?;
    Ok(())
}

struct Journal;

impl Drop for Journal {
    fn drop(&mut self) {
        println!("journal closed");
    }
}
// ANCHOR_END: worker

/// Makes SIGTERM end this process, whatever it has inherited.
fn end_on_sigterm() -> nix::Result<()> {
    // SAFETY: the default action runs no code of this program.
    unsafe { signal(Signal::SIGTERM, SigHandler::SigDfl) }?;
    SigSet::from(Signal::SIGTERM).thread_unblock()
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let (mut worker, output) = start_worker()?;
    drop(worker.stdin.take());
    let last_words = io::read_to_string(output)?;
    let status = worker.wait()?;
    assert_eq!(last_words, "journal closed\n");
    assert_eq!((status.code(), status.signal()), (Some(0), None));
    println!("joined: {status}, last words {last_words:?}");

    let (mut worker, output) = start_worker()?;
    kill(Pid::from_raw(worker.id().try_into()?), Signal::SIGTERM)?;
    let last_words = io::read_to_string(output)?;
    let status = worker.wait()?;
    assert_eq!(last_words, "");
    assert_eq!((status.code(), status.signal()), (None, Some(15)));
    println!("terminated: {status}, last words {last_words:?}");
    Ok(())
}
// ANCHOR_END: proof

fn start_worker() -> Result<(Child, BufReader<ChildStdout>)> {
    let mut worker = Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the worker")?;
    match hear_ready(&mut worker) {
        Ok(output) => Ok((worker, output)),
        Err(error) => {
            // Waiting closes its standard input, so it ends in any case.
            let status = worker.wait().context("cannot wait for the worker")?;
            Err(error.context(format!("the worker has ended: {status}")))
        }
    }
}

fn hear_ready(worker: &mut Child) -> Result<BufReader<ChildStdout>> {
    let output = worker.stdout.take().context("the worker has no output")?;
    let mut output = BufReader::new(output);
    let mut line = String::new();
    output.read_line(&mut line)?;
    ensure!(line == "ready\n", "the worker said {line:?}, not \"ready\"");
    Ok(output)
}
// ANCHOR_END: all
