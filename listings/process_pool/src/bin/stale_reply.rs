// ANCHOR: all
//! Proves that a worker that was too late answers the next task wrongly.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let mut worker = start_worker()?;
    send(&mut worker, "slow")?;
    assert!(!answers_within(&worker, 20)?, "the parent gives up");
    send(&mut worker, "7")?;
    let stale = receive(&mut worker)?;
    assert_eq!(stale, "the slow result", "not the answer to 7");

    worker.kill()?;
    worker.wait()?;
    let mut worker = start_worker()?;
    send(&mut worker, "7")?;
    assert_eq!(receive(&mut worker)?, "49");
    worker.wait()?;
    println!("7 squared by the late worker: {stale}; by a new one: 49");
    Ok(())
}
// ANCHOR_END: proof

fn answers_within(worker: &Child, milliseconds: u16) -> Result<bool> {
    let results = worker.stdout.as_ref().context("no pipe from the worker")?;
    let mut ends = [PollFd::new(results.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut ends, PollTimeout::from(milliseconds))? > 0)
}

fn worker() -> Result<()> {
    let mut tasks = io::stdin().lines().peekable();
    while let Some(task) = tasks.next() {
        match task?.as_str() {
            // Slow enough: it lasts until the parent has sent another task.
            "slow" => {
                tasks.peek();
                println!("the slow result");
            }
            number => println!("{}", number.parse::<u64>()?.pow(2)),
        }
    }
    Ok(())
}

fn send(worker: &mut Child, task: &str) -> Result<()> {
    let tasks = worker.stdin.as_mut().context("no pipe to the worker")?;
    tasks.write_all(format!("{task}\n").as_bytes())?;
    Ok(())
}

/// Reads one answer. An empty one is the end of the worker.
fn receive(worker: &mut Child) -> Result<String> {
    let results = worker.stdout.as_mut().context("no pipe from the worker")?;
    let mut line = String::new();
    BufReader::new(results.take(4096)).read_line(&mut line)?;
    ensure!(line.ends_with('\n'), "the worker has ended");
    Ok(line.trim_end().to_owned())
}

fn start_worker() -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a worker")
}
// ANCHOR_END: all
