// ANCHOR: all
//! Gives each task a limited time, and kills the worker that exceeds it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, process, thread};

use anyhow::{Context, Result, bail, ensure};
use crossbeam_channel::unbounded;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let ample = Duration::from_secs(10);
    let brief = Duration::from_millis(100);
    let mut worker = start_worker()?;
    for (task, limit) in [("3", ample), ("endless", brief), ("4", ample)] {
        let answer = ask(&mut worker, task, limit);
        if let Ok(Some(result)) = answer {
            println!("{task}: {result}");
            continue;
        }
        let why = if answer.is_ok() {
            "too late"
        } else {
            "no answer"
        };
        worker.kill().context("cannot kill the worker")?;
        println!("{task}: {why}, worker {}", worker.wait()?);
        worker = start_worker()?;
    }
    worker.wait()?;
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: ask
/// `None` if there is no answer in time. The worker must then be killed.
fn ask(
    worker: &mut Child,
    task: &str,
    limit: Duration,
) -> Result<Option<String>> {
    send(worker, task)?;
    let results = worker.stdout.as_ref().context("no pipe from the worker")?;
    let mut ends = [PollFd::new(results.as_fd(), PollFlags::POLLIN)];
    if poll(&mut ends, PollTimeout::try_from(limit)?)? == 0 {
        return Ok(None);
    }
    receive(worker).map(Some)
}
// ANCHOR_END: ask

// ANCHOR: worker
fn worker() -> Result<()> {
    let (sender, tasks) = unbounded();
    // A thread reads, so that a busy worker notices the end of its lifeline.
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
        process::exit(0);
    });
    for task in tasks {
        writeln!(io::stdout(), "{}", run(&task)?)?;
    }
    Ok(())
}

fn run(task: &str) -> Result<u64> {
    if task == "endless" {
        loop {
            thread::park();
        }
    }
    Ok(task.parse::<u64>()?.pow(2))
}
// ANCHOR_END: worker

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
