// ANCHOR: all
//! Computes roots in a pool: whichever worker is free takes the next number.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

fn parent() -> Result<()> {
    let size = thread::available_parallelism()?.get();
    with_pool(size, |pool| {
        println!("map: {:?}", pool.map(&[1, 4, 9, 16, 25, 36])?);
        Ok(())
    })
}

// ANCHOR: pool
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

fn supervise(mut worker: Worker, queue: Receiver<Job>) {
    for (number, reply) in queue {
        // The caller may have dropped its receiver.
        let _ = reply.send(worker.ask(number));
    }
}
// ANCHOR_END: pool

impl Pool {
    // ANCHOR: map
    fn map(&self, numbers: &[u64]) -> Result<Vec<u64>> {
        let mut pending = Vec::new();
        for number in numbers {
            let (reply, root) = bounded(1);
            self.0.send((*number, reply)).context("no worker is left")?;
            pending.push(root);
        }
        pending.into_iter().map(|root| root.recv()?).collect()
    }
    // ANCHOR_END: map
}

/// Wherever it goes out of scope, it is ended and waited for.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Worker {
    // ANCHOR: ask
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
    // ANCHOR_END: ask
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
        println!("{}", number.isqrt());
    }
    Ok(())
}
// ANCHOR_END: all
