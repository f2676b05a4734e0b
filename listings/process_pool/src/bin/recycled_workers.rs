// ANCHOR: all
//! Replaces a worker by a fresh one after every third task.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

const TASKS_PER_WORKER: usize = 3;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let mut counts = Vec::new();
    let mut worker = start_worker()?;
    for number in 0..8 {
        if number > 0 && number % TASKS_PER_WORKER == 0 {
            worker.wait().context("cannot wait for the worker")?;
            worker = start_worker()?;
        }
        send(&mut worker, "count")?;
        counts.push(receive(&mut worker)?);
    }
    worker.wait()?;
    println!("tasks that the worker had done: {}", counts.join(" "));
    Ok(())
}
// ANCHOR_END: parent

fn worker() -> Result<()> {
    // Stands for whatever piles up in a process: memory, open files, caches.
    let mut count = 0;
    for task in io::stdin().lines() {
        task?;
        count += 1;
        writeln!(io::stdout(), "{count}")?;
    }
    Ok(())
}

fn send(worker: &mut Child, task: &str) -> Result<()> {
    let tasks = worker.stdin.as_mut().context("no pipe to the worker")?;
    tasks.write_all(format!("{task}\n").as_bytes())?;
    Ok(())
}

/// In bytes: no number of this program has more digits.
const LONGEST_ANSWER: u64 = 32;

/// Reads one answer. An empty one is the end of the worker.
fn receive(worker: &mut Child) -> Result<String> {
    let results = worker.stdout.as_mut().context("no pipe from the worker")?;
    let mut line = String::new();
    BufReader::new(results.take(LONGEST_ANSWER)).read_line(&mut line)?;
    ensure!(
        (line.len() as u64) < LONGEST_ANSWER,
        "the answer is longer than LONGEST_ANSWER, {LONGEST_ANSWER} bytes"
    );
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
