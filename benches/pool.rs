//! The pool of `windowed_pool` against Python's, and against threads.

use std::collections::VecDeque;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{SigHandler, Signal, signal};
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use crate::report::{Contestant, Row, python, times_faster};

macro_rules! listing {
    ($anchor:literal) => {
        include!(concat!(
            env!("OUT_DIR"),
            "/process_pool/windowed_pool/",
            $anchor,
            ".rs"
        ));
    };
}

listing!("frame");
listing!("worker");
listing!("start");
listing!("map");
listing!("supervise");

// The page shows these two elsewhere, so they have no anchor here.

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

const WORKERS: usize = 2;
const TASKS: u64 = 100_000;
const HEAVY_TASKS: u64 = 64;
const HEAVY: Duration = Duration::from_millis(5);

pub fn rows() -> Vec<Row> {
    let chunk = (TASKS as usize).div_ceil(4 * WORKERS);
    // Slightly different tasks, so that no two have the same result.
    let turns = turns();
    let heavy_tasks: Vec<u64> = (turns..turns + HEAVY_TASKS).collect();
    vec![
        Row {
            name: "pool_chunked",
            work: "100,000 tiny tasks in chunks by Pool's rule, 2 workers, \
                   against Pool.map",
            reach: 8.0,
            rounds: 25,
            ours: squares(chunk, 1),
            rival: python("pool.py", &["chunks"], TASKS as u32),
            ratio: times_faster,
        },
        Row {
            name: "pool_one_by_one",
            work: "100,000 tiny tasks one by one, 64 in flight, 2 workers, \
                   against Pool.map(chunksize=1)",
            reach: 50.0,
            rounds: 5,
            ours: squares(1, 64),
            rival: python("pool.py", &["singly"], TASKS as u32),
            ratio: times_faster,
        },
        Row {
            name: "pool_heavy_rayon",
            work: "64 tasks of 5 ms, 2 workers, against rayon's 2 threads",
            reach: 0.95,
            rounds: 15,
            ours: heavy(heavy_tasks.clone()),
            rival: heavy_in_threads(heavy_tasks),
            ratio: times_faster,
        },
    ]
}

pub fn play(role: &str) -> Result<()> {
    match role {
        "pool_square" => worker(square),
        "pool_heavy" => worker(heavy_task),
        _ => bail!("unknown role {role:?}"),
    }
}

fn square(n: u64) -> u64 {
    n.pow(2)
}

/// `n` is how many turns to take: a fixed amount of work, not of time.
fn heavy_task(n: u64) -> u64 {
    (0..n).fold(n, |x, turn| black_box(x.rotate_left(5) ^ turn))
}

/// How many turns take about [`HEAVY`] on this machine.
fn turns() -> u64 {
    const TRIAL: u64 = 1_000_000;
    let start = Instant::now();
    black_box(heavy_task(black_box(TRIAL)));
    let trial = start.elapsed().as_secs_f64();
    (TRIAL as f64 * HEAVY.as_secs_f64() / trial) as u64
}

fn squares(chunk: usize, window: usize) -> Contestant {
    let numbers: Vec<u64> = (0..TASKS).collect();
    let expected: Vec<u64> = numbers.iter().map(|n| square(*n)).collect();
    contestant("role:pool_square", numbers, expected, chunk, window)
}

fn heavy(numbers: Vec<u64>) -> Contestant {
    let expected = numbers.iter().map(|n| heavy_task(*n)).collect();
    contestant("role:pool_heavy", numbers, expected, 1, 1)
}

/// A new pool for each turn, as in Python; it is warm when the clock starts.
fn contestant(
    role: &'static str,
    tasks: Vec<u64>,
    expected: Vec<u64>,
    chunk: usize,
    window: usize,
) -> Contestant {
    Box::new(move || {
        let mut pool = start_pool(WORKERS, role)?;
        map(&mut pool, &[0; 1000], 1, 1)?;
        let start = Instant::now();
        let Outcome {
            results,
            arrived,
            errors,
        } = map(&mut pool, &tasks, chunk, window)?;
        let took = start.elapsed();
        ensure!(errors.is_empty(), "{}", errors.join("; "));
        ensure!(arrived == tasks.len(), "{arrived} results have arrived");
        let right = results.iter().flatten().eq(&expected);
        ensure!(right && results.len() == tasks.len(), "a wrong result");
        Ok(took / tasks.len() as u32)
    })
}

fn heavy_in_threads(tasks: Vec<u64>) -> Contestant {
    let expected: Vec<u64> = tasks.iter().map(|n| heavy_task(*n)).collect();
    Box::new(move || {
        let pool = ThreadPoolBuilder::new().num_threads(WORKERS).build()?;
        pool.install(|| {
            vec![0; 1000].into_par_iter().map(heavy_task).max();
        });
        let start = Instant::now();
        let results: Vec<u64> =
            pool.install(|| tasks.par_iter().map(|n| heavy_task(*n)).collect());
        let took = start.elapsed();
        ensure!(results == expected, "a wrong result");
        Ok(took / tasks.len() as u32)
    })
}
