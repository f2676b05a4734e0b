// ANCHOR: all
//! A pool of worker processes with map, starmap, apply and apply_async.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, process, thread};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use nix::sys::signal::{SigHandler, Signal, signal};
use serde::{Deserialize, Serialize};

// ANCHOR: task
// ANCHOR: enum
#[derive(Serialize, Deserialize)]
enum Task {
    Root(i64),
    Power(i64, u32),
    Exit(i32),
}
// ANCHOR_END: enum

impl Task {
    fn run(self) -> Result<i64, String> {
        match self {
            Task::Root(n) if n < 0 => Err(format!("{n} has no square root")),
            Task::Root(n) => Ok(n.isqrt()),
            Task::Power(base, exponent) => {
                base.checked_pow(exponent).ok_or_else(|| {
                    format!("{base} to the {exponent} is too large")
                })
            }
            Task::Exit(code) => process::exit(code),
        }
    }
}
// ANCHOR_END: task

fn main() -> Result<()> {
    match env::args_os().nth(1) {
        None => with_pool(3, parent),
        Some(role) if role == "worker" => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

fn parent(pool: &Pool) -> Result<()> {
    let mut out = io::stdout();
    // ANCHOR: calls
    let squares = vec![1, 4, 9, 16, 25, 36];
    writeln!(out, "map: {:?}", all(pool.map(Task::Root, squares))?)?;
    let pairs = vec![(2, 10), (3, 4)];
    writeln!(out, "starmap: {:?}", all(pool.starmap(Task::Power, pairs))?)?;
    writeln!(out, "apply: {}", pool.apply(Task::Power(7, 3))?)?;
    // ANCHOR_END: calls

    let pending = pool.apply_async(Task::Root(144));
    writeln!(out, "the parent goes on")?;
    writeln!(out, "apply_async: {}", get(pending)?)?;

    for task in [Task::Root(-1), Task::Exit(3)] {
        if let Err(error) = pool.apply(task) {
            writeln!(out, "error: {error}")?;
        }
    }
    let squares = vec![49, 64, 81];
    writeln!(out, "map: {:?}", all(pool.map(Task::Root, squares))?)?;
    Ok(())
}

// ANCHOR: worker
fn worker() -> Result<()> {
    for line in io::stdin().lines() {
        let task = serde_json::from_str::<Task>(&line?);
        let task = task.map_err(|error| format!("not a task: {error}"));
        let result = task.and_then(Task::run);
        writeln!(io::stdout(), "{}", serde_json::to_string(&result)?)?;
    }
    Ok(())
}
// ANCHOR_END: worker

// ANCHOR: pool
/// A task as a line of text, and where its result goes.
type Job = (String, Sender<Result<i64>>);

struct Pool(Sender<Job>);

fn with_pool<T>(
    size: usize,
    work: impl FnOnce(&Pool) -> Result<T>,
) -> Result<T> {
    ensure!(size > 0, "a pool needs at least one worker");
    keep_statuses()?;
    let supervisors = AtomicUsize::new(size);
    thread::scope(|scope| {
        let (jobs, queue) = unbounded();
        for queue in vec![queue; size] {
            let worker = start_worker()?;
            let supervise = || supervise(worker, queue, &supervisors);
            thread::Builder::new()
                .spawn_scoped(scope, supervise)
                .context("cannot start the thread of a worker")?;
        }
        work(&Pool(jobs))
    })
}
// ANCHOR_END: pool

impl Pool {
    // ANCHOR: apply
    fn apply_async(&self, task: Task) -> Receiver<Result<i64>> {
        let (reply, pending) = bounded(1);
        match serde_json::to_string(&task) {
            // If this fails, `reply` is dropped, and `get` reports that.
            Ok(task) => drop(self.0.send((task + "\n", reply))),
            Err(error) => drop(reply.send(Err(error.into()))),
        }
        pending
    }

    fn apply(&self, task: Task) -> Result<i64> {
        get(self.apply_async(task))
    }
    // ANCHOR_END: apply

    // ANCHOR: map
    /// A result for each of the arguments, in their order.
    fn map<A>(&self, f: impl Fn(A) -> Task, args: Vec<A>) -> Vec<Result<i64>> {
        let start = |arg| self.apply_async(f(arg));
        let pending: Vec<_> = args.into_iter().map(start).collect();
        pending.into_iter().map(get).collect()
    }

    fn starmap<A, B>(
        &self,
        f: impl Fn(A, B) -> Task,
        args: Vec<(A, B)>,
    ) -> Vec<Result<i64>> {
        self.map(|(a, b)| f(a, b), args)
    }
    // ANCHOR_END: map
}

// ANCHOR: get
fn get(pending: Receiver<Result<i64>>) -> Result<i64> {
    pending.recv().context("the pool has lost this task")?
}

/// All values, or the first error.
fn all(results: Vec<Result<i64>>) -> Result<Vec<i64>> {
    results.into_iter().collect()
}
// ANCHOR_END: get

// ANCHOR: supervise
fn supervise(
    mut worker: Worker,
    queue: Receiver<Job>,
    supervisors: &AtomicUsize,
) {
    for (task, reply) in &queue {
        let lost = match worker.ask(&task) {
            Ok(result) => {
                // The caller may want no answer and have dropped its receiver.
                let _ = reply.send(result.map_err(Error::msg));
                continue;
            }
            Err(why) => anyhow!("{why:#}: {}", worker.end()),
        };
        // First the news, then the replacement: it may be slow, or fail.
        let _ = reply.send(Err(lost));
        worker = match start_worker() {
            Ok(worker) => worker,
            Err(why) => return give_up(queue, supervisors, &why),
        };
    }
    if let Err(why) = worker.leave() {
        let _ = writeln!(io::stderr(), "{why:#}");
    }
}

/// The other supervisors go on. The last one stays and answers for all.
fn give_up(queue: Receiver<Job>, supervisors: &AtomicUsize, why: &Error) {
    let _ = writeln!(io::stderr(), "the pool has a worker less: {why:#}");
    if supervisors.fetch_sub(1, Ordering::Relaxed) == 1 {
        for (_, reply) in queue {
            let lost = anyhow!("no worker is left, because {why:#}");
            let _ = reply.send(Err(lost));
        }
    }
}
// ANCHOR_END: supervise

// ANCHOR: start
/// Wherever it goes out of scope, it is ended and waited for.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn start_worker() -> Result<Worker> {
    let program = this_program()?;
    let worker = Command::new(&program)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    Ok(Worker(worker))
}

/// A path to the program that runs, even if its file has been replaced.
fn this_program() -> io::Result<PathBuf> {
    match cfg!(target_os = "linux") {
        true => Ok(PathBuf::from("/proc/self/exe")),
        false => env::current_exe(),
    }
}
// ANCHOR_END: start

// ANCHOR: ask
/// In bytes, with the end of the line. Far more than a result should have.
const LONGEST_ANSWER: u64 = 16 << 20;

impl Worker {
    /// The task's result. After any other error the worker is of no use.
    fn ask(&mut self, task: &str) -> Result<Result<i64, String>> {
        let tasks = self.0.stdin.as_mut().context("no pipe to the worker")?;
        let results = self.0.stdout.as_mut();
        let results = results.context("no pipe from the worker")?;
        tasks
            .write_all(task.as_bytes())
            .context("the worker died")?;
        let mut line = Vec::new();
        BufReader::new(results.take(LONGEST_ANSWER))
            .read_until(b'\n', &mut line)
            .context("cannot read from the worker")?;
        if !line.ends_with(b"\n") {
            ensure!(
                (line.len() as u64) < LONGEST_ANSWER,
                "the worker was killed: its answer is longer than \
                 LONGEST_ANSWER, {LONGEST_ANSWER} bytes"
            );
            bail!("the worker died");
        }
        serde_json::from_slice(&line)
            .context("the worker was killed: its answer is no result")
    }
    // ANCHOR_END: ask

    // ANCHOR: end
    /// Kills the worker, if it still lives, and tells how it has ended.
    fn end(&mut self) -> String {
        match self.0.kill().and_then(|()| self.0.wait()) {
            Ok(status) => status.to_string(),
            Err(error) => format!("cannot end it: {error}"),
        }
    }

    /// Waits for an idle worker. It leaves when its standard input ends.
    fn leave(&mut self) -> Result<()> {
        let status = self.0.wait().context("cannot wait for a worker")?;
        ensure!(status.success(), "an idle worker ended with {status}");
        Ok(())
    }
    // ANCHOR_END: end
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
