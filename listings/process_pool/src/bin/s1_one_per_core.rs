// ANCHOR: all
//! Computes the roots of six numbers in as many workers as there are cores.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: map
fn parent() -> Result<()> {
    let numbers = [1, 4, 9, 16, 25, 36];
    let size = thread::available_parallelism()?.get();
    let mut workers = Vec::new();
    for share in numbers.chunks(numbers.len().div_ceil(size)) {
        let (worker, mut tasks, results) = start_worker()?;
        for number in share {
            writeln!(tasks, "{number}").context("cannot send a task")?;
        }
        workers.push((worker, results));
    }
    let mut roots = Vec::new();
    for (mut worker, results) in workers {
        for root in BufReader::new(results).lines() {
            roots.push(root?.parse::<u64>()?);
        }
        let status = worker.0.wait()?;
        ensure!(status.success(), "a worker has failed: {status}");
    }
    println!("map: {roots:?}");
    Ok(())
}

fn worker() -> Result<()> {
    for line in io::stdin().lines() {
        let number: u64 = line?.parse()?;
        println!("{}", number.isqrt());
    }
    Ok(())
}
// ANCHOR_END: map

/// Wherever it goes out of scope, it is ended and waited for.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_worker() -> Result<(Worker, ChildStdin, ChildStdout)> {
    let mut worker = Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map(Worker)
        .context("cannot start a worker")?;
    let tasks = worker.0.stdin.take();
    let tasks = tasks.context("no pipe to the worker")?;
    let results = worker.0.stdout.take();
    let results = results.context("no pipe from the worker")?;
    Ok((worker, tasks, results))
}
// ANCHOR_END: all
