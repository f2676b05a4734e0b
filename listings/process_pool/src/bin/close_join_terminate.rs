// ANCHOR: all
//! Ends a pool in two ways: after all its tasks, and at once.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{
    self, Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::{env, mem};

use anyhow::{Context, Result, anyhow, bail, ensure};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use nix::sys::signal::{SigHandler, Signal, signal};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

fn main() -> Result<()> {
    match env::args_os().nth(1) {
        None => parent(),
        Some(role) if role == "worker" => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let mut out = io::stdout();
    let mut pool = Pool::new(2)?;
    let pending = ["1", "2", "3", "4"].map(|task| pool.apply_async(task));
    pool.close();
    pool.join()?;
    let squares: Result<Vec<_>> = pending.into_iter().map(get).collect();
    writeln!(out, "close and join: {}", squares?.join(", "))?;

    let pool = Pool::new(2)?;
    let tasks = ["endless", "endless", "3", "4"];
    let pending = tasks.map(|task| pool.apply_async(task));
    pool.terminate()?;
    let lost = pending.into_iter().map(get).filter(Result::is_err);
    writeln!(out, "terminate: {} of 4 tasks are lost", lost.count())?;
    Ok(())
}
// ANCHOR_END: parent

fn get(pending: Receiver<Result<String>>) -> Result<String> {
    pending.recv().context("the pool has lost this task")?
}

type Job = (String, Sender<Result<String>>);
type Supervisor = JoinHandle<Result<()>>;

struct Pool {
    jobs: Option<Sender<Job>>,
    workers: Vec<(Arc<Mutex<Place>>, Supervisor)>,
}

impl Pool {
    fn new(size: usize) -> Result<Pool> {
        ensure!(size > 0, "a pool needs at least one worker");
        keep_statuses()?;
        let (jobs, queue) = unbounded();
        let left = Arc::new(AtomicUsize::new(size));
        // Dropped before it is complete, it ends the workers that there are.
        let mut pool = Pool {
            jobs: Some(jobs),
            workers: Vec::new(),
        };
        for _ in 0..size {
            let (worker, pipes) = start_worker()?;
            let place = Arc::new(Mutex::new(Place {
                worker,
                terminated: false,
            }));
            let (shared, queue) = (Arc::clone(&place), queue.clone());
            let left = Arc::clone(&left);
            let supervisor = thread::Builder::new()
                .spawn(move || supervise(&shared, pipes, queue, &left))
                .context("cannot start the thread of a worker")?;
            pool.workers.push((place, supervisor));
        }
        Ok(pool)
    }

    fn apply_async(&self, task: &str) -> Receiver<Result<String>> {
        let (reply, pending) = bounded(1);
        match &self.jobs {
            Some(jobs) => drop(jobs.send((task.to_owned(), reply))),
            None => drop(reply.send(Err(anyhow!("the pool is closed")))),
        }
        pending
    }
    // ANCHOR: endings
    /// Takes no further tasks.
    fn close(&mut self) {
        self.jobs = None;
    }

    /// Waits until all tasks are done and all workers have left.
    fn join(mut self) -> Result<()> {
        self.close();
        self.wait()
    }

    /// Kills all workers. What they had, and what was queued, fails.
    fn terminate(mut self) -> Result<()> {
        self.kill();
        self.wait()
    }

    fn kill(&mut self) {
        self.close();
        for (place, _) in &self.workers {
            let mut place = lock(place);
            place.terminated = true;
            // It can only fail for a worker that has been waited for.
            let _ = place.worker.kill();
        }
    }

    fn wait(&mut self) -> Result<()> {
        let mut errors = Vec::new();
        for (_, supervisor) in mem::take(&mut self.workers) {
            let ended = supervisor.join();
            let ended = ended.unwrap_or_else(|_| Err(anyhow!("it panicked")));
            errors.extend(ended.err().map(|error| format!("{error:#}")));
        }
        ensure!(errors.is_empty(), "{}", errors.join("; "));
        Ok(())
    }
    // ANCHOR_END: endings
}

impl Drop for Pool {
    /// Whoever forgets both endings gets the second.
    fn drop(&mut self) {
        self.kill();
        let _ = self.wait();
    }
}

// ANCHOR: supervise
/// Where one worker follows another. The supervisor waits for them here, and
/// the pool kills them here.
struct Place {
    worker: Child,
    terminated: bool,
}

struct Pipes {
    /// The number of the last task.
    number: u64,
    tasks: ChildStdin,
    results: BufReader<ChildStdout>,
}

fn supervise(
    place: &Mutex<Place>,
    mut pipes: Pipes,
    queue: Receiver<Job>,
    left: &AtomicUsize,
) -> Result<()> {
    for (task, reply) in &queue {
        let why = match ask(&mut pipes, &task) {
            Ok(answer) => {
                let _ = reply.send(Ok(answer));
                continue;
            }
            Err(why) => why,
        };
        let _ = lock(place).worker.kill();
        let lost = match reap(place) {
            Ok(status) => anyhow!("{why:#}: {status}"),
            Err(error) => error.context(format!("{why:#}")),
        };
        let _ = reply.send(Err(lost));
        pipes = match replace(place) {
            Ok(Some(pipes)) => pipes,
            Ok(None) => {
                give_up(queue, left, "the pool was terminated");
                return Ok(());
            }
            Err(why) => {
                give_up(queue, left, &format!("{why:#}"));
                return Err(why);
            }
        };
    }
    drop(pipes);
    let status = reap(place)?;
    let expected = status.success() || lock(place).terminated;
    ensure!(expected, "an idle worker ended with {status}");
    Ok(())
}

/// Waits without the lock, so that the worker can be killed meanwhile. Until
/// it is reaped its number stays its own.
fn reap(place: &Mutex<Place>) -> Result<ExitStatus> {
    let worker = WaitId::Pid(Pid::from_child(&lock(place).worker));
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    retry_on_intr(|| waitid(worker.clone(), look))
        .context("cannot wait for a worker")?;
    lock(place).worker.wait().context("cannot reap a worker")
}

/// A new worker, unless the pool has been terminated.
fn replace(place: &Mutex<Place>) -> Result<Option<Pipes>> {
    let mut place = lock(place);
    if place.terminated {
        return Ok(None);
    }
    let (worker, pipes) = start_worker()?;
    place.worker = worker;
    Ok(Some(pipes))
}

/// The other supervisors go on. The last one stays and answers for all.
fn give_up(queue: Receiver<Job>, left: &AtomicUsize, why: &str) {
    if left.fetch_sub(1, Ordering::Relaxed) == 1 {
        for (_, reply) in queue {
            let lost = anyhow!("no worker is left, because {why}");
            let _ = reply.send(Err(lost));
        }
    }
}
// ANCHOR_END: supervise

fn lock(place: &Mutex<Place>) -> MutexGuard<'_, Place> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Place {
    fn drop(&mut self) {
        // Both do nothing if the worker has been waited for.
        let _ = self.worker.kill();
        let _ = self.worker.wait();
    }
}

/// In bytes, with the end of the line.
const LONGEST_ANSWER: u64 = 16 << 20;

/// After an error the worker is of no use any more.
fn ask(pipes: &mut Pipes, task: &str) -> Result<String> {
    pipes.number += 1;
    let number = pipes.number;
    let task = format!("{number} {task}\n");
    let sent = pipes.tasks.write_all(task.as_bytes());
    sent.context("the worker died")?;
    let mut line = String::new();
    (&mut pipes.results)
        .take(LONGEST_ANSWER)
        .read_line(&mut line)
        .context("cannot read from the worker")?;
    if !line.ends_with('\n') {
        ensure!(
            (line.len() as u64) < LONGEST_ANSWER,
            "the worker was killed: its answer is longer than \
             LONGEST_ANSWER, {LONGEST_ANSWER} bytes"
        );
        bail!("the worker died");
    }
    let alone = pipes.results.buffer().is_empty();
    ensure!(alone, "the worker was killed: it gave more than one answer");
    let own = line.strip_prefix(&format!("{number} ")).context(
        "the worker was killed: it printed what is not this task's answer",
    )?;
    Ok(own.trim_end().to_owned())
}

fn worker() -> Result<()> {
    let (sender, tasks) = unbounded();
    // A thread reads, so that a busy worker notices the end of its lifeline.
    let reader = move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
        process::exit(0);
    };
    let reader = thread::Builder::new().spawn(reader);
    reader.context("cannot start the thread that reads tasks")?;
    for task in tasks {
        // The answer has the number of its task.
        let (number, task) = task.split_once(' ').context("not a task")?;
        writeln!(io::stdout(), "{number} {}", run(task)?)?;
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

fn start_worker() -> Result<(Child, Pipes)> {
    let program = this_program()?;
    let mut worker = Command::new(&program)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let pipes = (worker.stdin.take(), worker.stdout.take());
    let (Some(tasks), Some(results)) = pipes else {
        bail!("both pipes were asked for");
    };
    let pipes = Pipes {
        number: 0,
        tasks,
        results: BufReader::new(results),
    };
    Ok((worker, pipes))
}

/// A path to the program that runs, even if its file has been replaced.
fn this_program() -> io::Result<PathBuf> {
    match cfg!(target_os = "linux") {
        true => Ok(PathBuf::from("/proc/self/exe")),
        false => env::current_exe(),
    }
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
