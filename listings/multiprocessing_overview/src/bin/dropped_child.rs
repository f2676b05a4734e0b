// ANCHOR: all
//! Drops a `Child` and finds the worker again, first alive, then a zombie.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};

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
    let mut worker = Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the worker")?;
    let pid = Pid::from_raw(worker.id().try_into()?);
    let mut lifeline =
        worker.stdin.take().context("the worker has no input")?;
    let output = worker.stdout.take().context("the worker has no output")?;
    let mut lines = BufReader::new(output).lines();

    // ANCHOR: proof
    drop(worker);
    lifeline.write_all(b"are you there?\n")?;
    let line = lines.next().context("the worker is gone")??;
    assert_eq!(line, "yes");
    println!("dropped: the worker still answers {line:?}");

    drop(lifeline);
    await_end(pid)?;
    assert_eq!(state(pid)?, "Z (zombie)");
    assert_eq!(kill(pid, None), Ok(()));
    println!("ended: state {}, the pid is taken", state(pid)?);

    assert_eq!(waitpid(pid, None)?, WaitStatus::Exited(pid, 0));
    assert_eq!(kill(pid, None), Err(Errno::ESRCH));
    println!("reaped: the pid is free");
    // ANCHOR_END: proof
    Ok(())
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
