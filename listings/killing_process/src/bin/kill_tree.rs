// ANCHOR: all
//! Kills a worker and everything that the worker has started.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some("helper") => helper(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"worker\" or \"helper\"")
        }
    }
}

// ANCHOR: start
fn start_tree() -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("cannot start the worker")
}
// ANCHOR_END: start

// ANCHOR: proof
fn parent() -> Result<()> {
    adopt_orphans()?;
    let mut worker = start_tree()?;
    let group = Pid::from_raw(worker.id().try_into()?);
    let mut input = worker.stdin.take().context("no pipe to write to")?;
    let output = worker.stdout.take().context("no pipe to read from")?;
    let mut lines = BufReader::new(output).lines();
    assert_eq!(lines.next().transpose()?.as_deref(), Some("helper: ready"));

    worker.kill()?;
    let status = worker.wait()?;
    writeln!(input, "hello")?;
    assert_eq!(lines.next().transpose()?.as_deref(), Some("helper: hello"));

    killpg(group, Signal::SIGKILL).context("cannot kill the group")?;
    assert!(lines.next().is_none());
    reap_orphan()?;
    assert_eq!(status.signal(), Some(9));
    println!("worker: {status}");
    println!("helper: answers");
    println!("helper: gone");
    Ok(())
}
// ANCHOR_END: proof

// ANCHOR: helper
fn worker() -> Result<()> {
    let mut helper = Command::new(env::current_exe()?)
        .arg("helper")
        .spawn()
        .context("cannot start the helper")?;
    helper.wait().context("cannot wait for the helper")?;
    Ok(())
}

fn helper() -> Result<()> {
    println!("helper: ready");
    for line in io::stdin().lines() {
        println!("helper: {}", line?);
    }
    Ok(())
}
// ANCHOR_END: helper

/// Makes the orphan a child of this process, which can then wait for it.
#[cfg(target_os = "linux")]
fn adopt_orphans() -> Result<()> {
    nix::sys::prctl::set_child_subreaper(true).context("cannot adopt orphans")
}

/// Only SIGKILL ends the helper while somebody holds its standard input.
#[cfg(target_os = "linux")]
fn reap_orphan() -> Result<()> {
    use nix::sys::wait::{WaitStatus, wait};
    let end = wait().context("cannot wait for the helper")?;
    assert!(matches!(end, WaitStatus::Signaled(_, Signal::SIGKILL, _)));
    Ok(())
}

/// Elsewhere the first process of the system waits for the orphan.
#[cfg(not(target_os = "linux"))]
fn adopt_orphans() -> Result<()> {
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn reap_orphan() -> Result<()> {
    Ok(())
}
// ANCHOR_END: all
