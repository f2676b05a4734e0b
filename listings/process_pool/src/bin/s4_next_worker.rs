// ANCHOR: all
//! Reports a task that ends its worker, and starts another worker.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::{env, process, thread};

use anyhow::{Context, Result, anyhow, bail, ensure};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use nix::sys::signal::{SigHandler, Signal, signal};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

fn parent() -> Result<()> {
    keep_statuses()?;
    // ANCHOR: three
    with_pool(1, |pool| {
        for number in [9, 0, 16] {
            match get(pool.apply_async(number)) {
                Ok(root) => println!("{number}: {root}"),
                Err(error) => println!("{number}: {error:#}"),
            }
        }
        Ok(())
    })
    // ANCHOR_END: three
}

/// A number, and where its root goes.
type Job = (u64, Sender<Result<u64>>);

struct Pool(Sender<Job>);

fn with_pool(size: usize, work: fn(&Pool) -> Result<()>) -> Result<()> {
    thread::scope(|scope| {
        let (jobs, queue) = unbounded();
        for queue in vec![queue; size] {
            let worker = start_worker()?;
            thread::Builder::new()
                .spawn_scoped(scope, || supervise(worker, queue))
                .context("cannot start a thread")?;
        }
        work(&Pool(jobs))
    })
}

// ANCHOR: supervise
fn supervise(mut worker: Worker, queue: Receiver<Job>) {
    for (number, reply) in queue {
        let why = match worker.ask(number) {
            Ok(root) => {
                let _ = reply.send(Ok(root));
                continue;
            }
            Err(why) => why,
        };
        let lost = anyhow!("{why:#}: {}", worker.end());
        let _ = reply.send(Err(lost));
        worker = match start_worker() {
            Ok(worker) => worker,
            Err(_) => return,
        };
    }
}
// ANCHOR_END: supervise

impl Pool {
    fn apply_async(&self, number: u64) -> Receiver<Result<u64>> {
        let (reply, pending) = bounded(1);
        // If this fails, `reply` is dropped, and `get` reports that.
        let _ = self.0.send((number, reply));
        pending
    }
}

fn get(pending: Receiver<Result<u64>>) -> Result<u64> {
    pending.recv().context("the pool has lost this task")?
}

/// Wherever it goes out of scope, it is ended and waited for.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl Worker {
    fn ask(&mut self, number: u64) -> Result<u64> {
        let tasks = self.0.stdin.as_mut().context("no pipe to the worker")?;
        writeln!(tasks, "{number}").context("the worker died")?;
        let results = self.0.stdout.as_mut();
        let results = results.context("no pipe from the worker")?;
        let mut line = String::new();
        BufReader::new(results).read_line(&mut line)?;
        ensure!(line.ends_with('\n'), "the worker died");
        line.trim_end().parse().context("the result is no number")
    }

    /// Kills the worker, if it still lives, and tells how it has ended.
    fn end(&mut self) -> String {
        match self.0.kill().and_then(|()| self.0.wait()) {
            Ok(status) => status.to_string(),
            Err(error) => format!("cannot end it: {error}"),
        }
    }
}

fn start_worker() -> Result<Worker> {
    let worker = Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a worker")?;
    Ok(Worker(worker))
}

fn worker() -> Result<()> {
    for line in io::stdin().lines() {
        let number: u64 = line?.parse()?;
        if number == 0 {
            process::exit(3);
        }
        println!("{}", number.isqrt());
    }
    Ok(())
}

/// Whoever starts a program can have it ignore SIGCHLD. Then the kernel keeps
/// no exit status, and every `wait` fails.
fn keep_statuses() -> Result<()> {
    // SAFETY: the default action runs no code of this process.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }
        .context("cannot reset SIGCHLD")?;
    Ok(())
}
// ANCHOR_END: all
