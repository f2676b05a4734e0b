// ANCHOR: all
//! Proves that a dead worker had begun no task behind the one in its hand.

use std::env;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, raise};

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
    let mut tasks = worker.stdin.take().context("no pipe to the worker")?;
    tasks.write_all(b"1\n2\ndeadly\n4\n5\n")?;
    let (mut results, mut begun) = (String::new(), String::new());
    let output = worker.stdout.as_mut().context("no pipe of results")?;
    output.read_to_string(&mut results)?;
    let log = worker.stderr.as_mut().context("no log")?;
    log.read_to_string(&mut begun)?;
    worker.wait()?;
    assert_eq!(results, "1\n4\n");
    assert_eq!(begun, "begin 1\nbegin 2\nbegin deadly\n");
    println!("results of 1 and 2; begun and lost: 1 task; not begun: 4 and 5");
    Ok(())
}
// ANCHOR_END: proof

fn start_worker() -> Result<std::process::Child> {
    Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start a worker")
}

fn worker() -> Result<()> {
    for task in io::stdin().lines() {
        let task = task?;
        eprintln!("begin {task}");
        if task == "deadly" {
            raise(Signal::SIGKILL)?;
        }
        // println! writes at once: the result is out before the next begins.
        println!("{}", task.parse::<u64>()?.pow(2));
    }
    Ok(())
}
// ANCHOR_END: all
