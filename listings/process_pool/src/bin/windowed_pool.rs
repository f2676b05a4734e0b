// ANCHOR: all
//! A pool for many small tasks, in chunks or with a window of them in flight.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{env, process, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{SigHandler, Signal, signal};

fn main() -> Result<()> {
    match env::args_os().nth(1) {
        None => parent(),
        Some(role) if role == "worker" => worker(square),
        Some(role) if role == "fragile" => worker(|n| match n {
            13 => process::exit(0),
            n => square(n),
        }),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"worker\" or \"fragile\"")
        }
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let numbers: Vec<u64> = (1..=100_000).collect();
    let mut pool = start_pool(2, "worker")?;
    let chunk = chunk_size(&numbers, &pool);
    check("in chunks", &numbers, &map(&mut pool, &numbers, chunk, 1)?)?;
    // Far more than a pipe holds.
    check("in halves", &numbers, &map(&mut pool, &numbers, 50_000, 1)?)?;

    let numbers = &numbers[..10_000];
    check("one by one", numbers, &map(&mut pool, numbers, 1, 64)?)?;
    pool[0].child.kill()?;
    check("after a death", numbers, &map(&mut pool, numbers, 1, 64)?)?;
    let mut pool = start_pool(64, "worker")?;
    check("by 64 workers", numbers, &map(&mut pool, numbers, 1, 64)?)?;

    let mut pool = start_pool(2, "fragile")?;
    let outcome = map(&mut pool, &numbers[..100], 1, 64)?;
    let done = outcome.results.iter().flatten().count();
    let errors = outcome.errors.join("; ");
    writeln!(
        io::stdout(),
        "by fragile workers: {done} of 100 done, {errors}"
    )?;
    Ok(())
}

/// The rule of Python's map: four chunks for each worker.
fn chunk_size(tasks: &[u64], pool: &[Worker]) -> usize {
    tasks.len().div_ceil(4 * pool.len().max(1)).max(1)
}

fn check(how: &str, numbers: &[u64], outcome: &Outcome) -> io::Result<()> {
    let pairs = numbers.iter().zip(&outcome.results);
    let right = pairs.filter(|(n, result)| **result == Some(square(**n)));
    let right = right.count();
    let (lost, doubled) =
        (numbers.len() - right, outcome.arrived.saturating_sub(right));
    let all = numbers.len();
    writeln!(
        io::stdout(),
        "{how}: accounted for {right} of {all}, lost {lost}, doubled {doubled}"
    )
}
// ANCHOR_END: parent

fn square(n: u64) -> u64 {
    n.pow(2)
}

// ANCHOR: frame
/// A message is a count and as many numbers, eight bytes each.
fn write_frame(out: &mut impl Write, numbers: &[u64]) -> io::Result<()> {
    out.write_all(&(numbers.len() as u64).to_le_bytes())?;
    for number in numbers {
        out.write_all(&number.to_le_bytes())?;
    }
    Ok(())
}

fn read_number(from: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}
// ANCHOR_END: frame

// ANCHOR: worker
fn worker(task: fn(u64) -> u64) -> Result<()> {
    let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut tasks = BufReader::with_capacity(PIPE_SIZE, stdin);
    let mut results = BufWriter::with_capacity(PIPE_SIZE, stdout);
    // The end of the pipe is the end of the work.
    while let Ok(count) = read_number(&mut tasks) {
        // All of it before the first answer: while the supervisor writes, it
        // does not read.
        let numbers = (0..count).map(|_| read_number(&mut tasks));
        let numbers = numbers.collect::<io::Result<Vec<_>>>()?;
        let answers: Vec<_> = numbers.into_iter().map(task).collect();
        write_frame(&mut results, &answers)?;
        if tasks.buffer().is_empty() {
            results.flush()?;
        }
    }
    Ok(())
}
// ANCHOR_END: worker

// ANCHOR: start
const PIPE_SIZE: usize = 65_536;

struct Worker {
    role: &'static str,
    child: Child,
    tasks: BufWriter<ChildStdin>,
    results: BufReader<ChildStdout>,
}

fn start_pool(size: usize, role: &'static str) -> Result<Vec<Worker>> {
    ensure!(size > 0, "a pool needs at least one worker");
    keep_statuses()?;
    (0..size).map(|_| start_worker(role)).collect()
}

fn start_worker(role: &'static str) -> Result<Worker> {
    let program = this_program()?;
    let mut child = Command::new(&program)
        .arg(role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let pipes = (child.stdin.take(), child.stdout.take());
    let (Some(stdin), Some(stdout)) = pipes else {
        bail!("both pipes were asked for");
    };
    Ok(Worker {
        role,
        child,
        tasks: BufWriter::with_capacity(PIPE_SIZE, stdin),
        results: BufReader::with_capacity(PIPE_SIZE, stdout),
    })
}

impl Worker {
    /// Kills the worker, if it still lives, and tells how it has ended.
    fn end(&mut self) -> String {
        match self.child.kill().and_then(|()| self.child.wait()) {
            Ok(status) => status.to_string(),
            Err(error) => format!("cannot end it: {error}"),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Dead or idle: either way it has nothing more to say.
        let _ = self.end();
    }
}
// ANCHOR_END: start

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

// ANCHOR: map
/// In bytes: the smallest pipe that Linux gives on request.
const SMALLEST_PIPE: usize = 4096;

struct Job<'a> {
    tasks: &'a [u64],
    results: &'a mut [Option<u64>],
    deaths: usize,
}

#[derive(Default)]
struct Outcome {
    /// In the order of the tasks.
    results: Vec<Option<u64>>,
    /// How many results have come, doubled ones included.
    arrived: usize,
    /// Why some tasks have no result, and why some worker was missing.
    errors: Vec<String>,
}

fn map(
    pool: &mut [Worker],
    tasks: &[u64],
    chunk: usize,
    window: usize,
) -> Result<Outcome> {
    ensure!(!pool.is_empty(), "a pool needs at least one worker");
    ensure!(chunk > 0, "a chunk needs at least one task");
    let mut results = vec![None; tasks.len()];
    let places = results.chunks_mut(chunk);
    let jobs = tasks.chunks(chunk).zip(places).map(|(tasks, results)| Job {
        tasks,
        results,
        deaths: 0,
    });
    let jobs = Mutex::new(jobs);
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
    // The window has to fit into the smallest pipe, or be a single chunk.
    let most = SMALLEST_PIPE / (8 + 8 * chunk.min(tasks.len()));
    let window = window.min(most).max(1);
    let mut outcome = Outcome::default();
    thread::scope(|scope| {
        let mut supervisors = Vec::new();
        for worker in pool {
            let supervise = || supervise(worker, next, window);
            match thread::Builder::new().spawn_scoped(scope, supervise) {
                Ok(supervisor) => supervisors.push(supervisor),
                Err(why) => outcome.errors.push(format!("no thread: {why}")),
            }
        }
        for supervisor in supervisors {
            let panicked = |_| (0, vec!["a supervisor panicked".to_owned()]);
            let (arrived, errors) = supervisor.join().unwrap_or_else(panicked);
            outcome.arrived += arrived;
            outcome.errors.extend(errors);
        }
    });
    // Nothing is left unless all supervisors have given up.
    while let Some(job) = next() {
        outcome.errors.push(unanswered(&job));
    }
    outcome.results = results;
    Ok(outcome)
}
// ANCHOR_END: map

// ANCHOR: supervise
const MOST_DEATHS: usize = 3;

/// How many results have arrived, and what went wrong.
fn supervise<'a>(
    worker: &mut Worker,
    next: impl Fn() -> Option<Job<'a>>,
    window: usize,
) -> (usize, Vec<String>) {
    let (mut arrived, mut errors) = (0, Vec::new());
    let mut in_flight: VecDeque<Job> = VecDeque::new();
    let mut suspects: VecDeque<Job> = VecDeque::new();
    loop {
        // Writes only when all the answers that are here have been taken.
        if worker.results.buffer().is_empty() || in_flight.is_empty() {
            // A suspect goes alone: if the worker dies again, it was it.
            let most = if suspects.is_empty() { window } else { 1 };
            while in_flight.len() < most {
                let Some(job) = suspects.pop_front().or_else(&next) else {
                    break;
                };
                // If the worker is dead, `receive` finds out.
                let _ = write_frame(&mut worker.tasks, job.tasks);
                in_flight.push_back(job);
            }
            let _ = worker.tasks.flush();
        }
        let Some(mut job) = in_flight.pop_front() else {
            return (arrived, errors);
        };
        let Err(why) = receive(&mut worker.results, job.results) else {
            arrived += job.results.len();
            continue;
        };
        let ended = worker.end();
        job.deaths += usize::from(in_flight.is_empty());
        match job.deaths {
            MOST_DEATHS => errors.push(format!(
                "task {} has cost {MOST_DEATHS} workers: {why}: {ended}",
                job.tasks[0]
            )),
            _ => in_flight.push_front(job),
        }
        // All that are unanswered become suspects, in their old order.
        while let Some(job) = in_flight.pop_back() {
            suspects.push_front(job);
        }
        match start_worker(worker.role) {
            Ok(new) => *worker = new,
            Err(why) => {
                errors.push(format!("no new worker: {why:#}"));
                errors.extend(suspects.iter().map(unanswered));
                return (arrived, errors);
            }
        }
    }
}

fn unanswered(job: &Job) -> String {
    format!(
        "task {} has no answer: no worker was left for it",
        job.tasks[0]
    )
}

fn receive(from: &mut impl Read, results: &mut [Option<u64>]) -> Result<()> {
    let count = read_number(from).context("the worker died")?;
    let expected = results.len();
    ensure!(
        count == expected as u64,
        "the worker was killed: it gave {count} results for {expected}"
    );
    for result in results {
        *result = Some(read_number(from).context("the worker died")?);
    }
    Ok(())
}
// ANCHOR_END: supervise
// ANCHOR_END: all
