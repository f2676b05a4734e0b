// ANCHOR: all
//! Proves that a worker which SIGTERM ends runs no destructor.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
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

// ANCHOR: proof
fn parent() -> Result<()> {
    let (mut worker, output) = start_worker()?;
    drop(worker.stdin.take());
    let last_words = io::read_to_string(output)?;
    let status = worker.wait()?;
    println!("joined: {status}, last words {last_words:?}");
    assert_eq!(last_words, "journal closed\n");
    assert_eq!((status.code(), status.signal()), (Some(0), None));

    let (mut worker, output) = start_worker()?;
    kill(Pid::from_raw(worker.id().try_into()?), Signal::SIGTERM)?;
    let last_words = io::read_to_string(output)?;
    let status = worker.wait()?;
    println!("terminated: {status}, last words {last_words:?}");
    assert_eq!(last_words, "");
    assert_eq!((status.code(), status.signal()), (None, Some(15)));
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
    let output = worker.stdout.take().context("the worker has no output")?;
    let mut output = BufReader::new(output);
    let mut line = String::new();
    output.read_line(&mut line)?;
    ensure!(line == "ready\n", "the worker said {line:?}, not \"ready\"");
    Ok((worker, output))
}
// ANCHOR_END: all
