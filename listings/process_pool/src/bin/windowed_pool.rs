// ANCHOR: all
//! A pool for many small tasks, in chunks or with a window of them in flight.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{env, process, thread};

use anyhow::{Context, Result, anyhow, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(square),
        Some("fragile") => worker(|n| match n {
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
    // The rule of Python's map: four chunks for each worker.
    let chunk = numbers.len().div_ceil(4 * pool.len());
    check("in chunks", &numbers, map(&mut pool, &numbers, chunk, 1)?);
    // Far more than a pipe holds.
    check("in halves", &numbers, map(&mut pool, &numbers, 50_000, 1)?);

    let numbers = &numbers[..10_000];
    check("one by one", numbers, map(&mut pool, numbers, 1, 64)?);
    pool[0].child.kill()?;
    check("after a death", numbers, map(&mut pool, numbers, 1, 64)?);
    let mut pool = start_pool(64, "worker")?;
    check("by 64 workers", numbers, map(&mut pool, numbers, 1, 64)?);

    let mut pool = start_pool(2, "fragile")?;
    if let Err(error) = map(&mut pool, &numbers[..100], 1, 64) {
        println!("by fragile workers: {error}");
    }
    Ok(())
}

fn check(how: &str, numbers: &[u64], (squares, arrived): (Vec<u64>, usize)) {
    let pairs = numbers.iter().zip(squares);
    let right = pairs.filter(|(n, squared)| square(**n) == *squared).count();
    let (lost, doubled) = (numbers.len() - right, arrived - right);
    let all = numbers.len();
    println!(
        "{how}: accounted for {right} of {all}, lost {lost}, doubled {doubled}"
    );
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
    (0..size).map(|_| start_worker(role)).collect()
}

fn start_worker(role: &'static str) -> Result<Worker> {
    let mut child = Command::new(env::current_exe()?)
        .arg(role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a worker")?;
    let stdin = child.stdin.take().context("no pipe to the worker")?;
    let stdout = child.stdout.take().context("no pipe from the worker")?;
    Ok(Worker {
        role,
        child,
        tasks: BufWriter::with_capacity(PIPE_SIZE, stdin),
        results: BufReader::with_capacity(PIPE_SIZE, stdout),
    })
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Dead or idle: either way it has nothing more to say.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
// ANCHOR_END: start

// ANCHOR: map
struct Job<'a> {
    tasks: &'a [u64],
    results: &'a mut [u64],
    deaths: usize,
}

/// The results, and how many of them have arrived.
fn map(
    pool: &mut [Worker],
    tasks: &[u64],
    chunk: usize,
    window: usize,
) -> Result<(Vec<u64>, usize)> {
    let mut results = vec![0; tasks.len()];
    let places = results.chunks_mut(chunk);
    let jobs = tasks.chunks(chunk).zip(places).map(|(tasks, results)| Job {
        tasks,
        results,
        deaths: 0,
    });
    let jobs = Mutex::new(jobs);
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
    // The window has to fit into the smallest pipe, or be a single chunk.
    let window = window.min(4096 / (8 + 8 * chunk)).max(1);
    let arrived = thread::scope(|scope| {
        let start = |worker| scope.spawn(|| supervise(worker, next, window));
        let supervisors: Vec<_> = pool.iter_mut().map(start).collect();
        let ends = supervisors.into_iter().map(|supervisor| {
            supervisor
                .join()
                .map_err(|_| anyhow!("a supervisor panicked"))?
        });
        ends.sum::<Result<usize>>()
    })?;
    Ok((results, arrived))
}
// ANCHOR_END: map

// ANCHOR: supervise
const MOST_DEATHS: usize = 3;

fn supervise<'a>(
    worker: &mut Worker,
    next: impl Fn() -> Option<Job<'a>>,
    window: usize,
) -> Result<usize> {
    let mut arrived = 0;
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
            return Ok(arrived);
        };
        if receive(&mut worker.results, job.results).is_ok() {
            arrived += job.results.len();
            continue;
        }
        job.deaths += usize::from(in_flight.is_empty());
        let first = job.tasks[0];
        ensure!(
            job.deaths < MOST_DEATHS,
            "task {first} has ended its workers"
        );
        // All that are unanswered become suspects, in their old order.
        in_flight.push_front(job);
        while let Some(job) = in_flight.pop_back() {
            suspects.push_front(job);
        }
        *worker = start_worker(worker.role)?;
    }
}

fn receive(from: &mut impl Read, results: &mut [u64]) -> Result<()> {
    let count = read_number(from)?;
    ensure!(count == results.len() as u64, "{count} results");
    for result in results {
        *result = read_number(from)?;
    }
    Ok(())
}
// ANCHOR_END: supervise
// ANCHOR_END: all
