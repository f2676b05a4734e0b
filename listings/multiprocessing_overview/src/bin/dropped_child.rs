// ANCHOR: all
//! Drops a `Child` and finds the worker again, first alive, then a zombie.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

fn parent() -> Result<()> {
    // ANCHOR: proof
    let mut worker = start_worker()?;
    let pid = Pid::from_raw(worker.id().try_into()?);
    let pipes = (worker.stdin.take(), worker.stdout.take());
    drop(worker);
    let answer = ask(pipes)?;
    assert_eq!(answer, "yes\n");

    // The answer's pipes are closed by now, and so the worker ends.
    await_end(pid)?;
    let ended = (state(pid)?, kill(pid, None));
    assert_eq!(ended, ("Z (zombie)".to_owned(), Ok(())));
    assert_eq!(waitpid(pid, None)?, WaitStatus::Exited(pid, 0));
    assert_eq!(kill(pid, None), Err(Errno::ESRCH));

    // With its pipes still in the Child, this one ends when that is dropped.
    let worker = start_worker()?;
    let second = Pid::from_raw(worker.id().try_into()?);
    drop(worker);
    assert_eq!(waitpid(second, None)?, WaitStatus::Exited(second, 0));
    // ANCHOR_END: proof
    println!("dropped: the worker still answers {:?}", answer.trim_end());
    println!("ended: state {}, the pid is taken", ended.0);
    println!("reaped: the pid is free");
    println!("dropped with its pipes: the worker ends");
    Ok(())
}

fn start_worker() -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the worker")
}

/// Asks over the pipes that were taken out of the `Child`.
fn ask(pipes: (Option<ChildStdin>, Option<ChildStdout>)) -> Result<String> {
    let (input, output) = pipes;
    let mut input = input.context("the worker has no input")?;
    let output = output.context("the worker has no output")?;
    input.write_all(b"are you there?\n")?;
    let mut answer = String::new();
    BufReader::new(output).read_line(&mut answer)?;
    Ok(answer)
}

fn worker() -> Result<()> {
    for line in io::stdin().lines() {
        line.context("cannot read standard input")?;
        println!("yes");
    }
    Ok(())
}

/// Waits until the worker has ended, and leaves its status where it is.
#[cfg(target_os = "linux")]
fn await_end(pid: Pid) -> Result<()> {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(pid), flags).context("cannot wait for the worker")?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn await_end(_: Pid) -> Result<()> {
    bail!("this program needs Linux: it uses waitid and /proc")
}

fn state(pid: Pid) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("State:\t"));
    Ok(line.context("the status has no State line")?.to_owned())
}
// ANCHOR_END: all
