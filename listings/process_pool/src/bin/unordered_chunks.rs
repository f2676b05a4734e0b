// ANCHOR: all
//! Squares a hundred numbers in chunks, taking each result as it arrives.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use crossbeam_channel::{Receiver, Sender, unbounded};
use indicatif::ProgressBar;

const WORKERS: usize = 3;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let numbers: Vec<u64> = (1..=100).collect();
    // The rule of Python's map: four chunks for each worker.
    let size = numbers.len().div_ceil(4 * WORKERS).max(1);
    let progress = ProgressBar::new(numbers.len() as u64);
    let mut sum = 0;
    imap_unordered(numbers.chunks(size), |squares| {
        progress.suspend(|| println!("a chunk of {}", squares.len()));
        progress.inc(squares.len() as u64);
        sum += squares.iter().sum::<u64>();
    })?;
    progress.finish_and_clear();
    println!("sum of the squares: {sum}");
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: imap_unordered
fn imap_unordered<'a>(
    chunks: impl Iterator<Item = &'a [u64]>,
    mut take: impl FnMut(Vec<u64>),
) -> Result<()> {
    thread::scope(|scope| {
        let (jobs, queue) = unbounded();
        let (results, arrivals) = unbounded();
        for _ in 0..WORKERS {
            let (queue, results) = (queue.clone(), results.clone());
            thread::Builder::new()
                .spawn_scoped(scope, || supervise(queue, results))
                .context("cannot start the thread of a worker")?;
        }
        chunks.for_each(|chunk| _ = jobs.send(chunk));
        drop((jobs, results));
        for result in arrivals {
            take(result?);
        }
        Ok(())
    })
}

fn supervise(queue: Receiver<&[u64]>, results: Sender<Result<Vec<u64>>>) {
    let squares = || -> Result<()> {
        let mut worker = start_worker()?;
        for chunk in queue {
            match ask(&mut worker, chunk) {
                // The receiver may have gone after another worker's error.
                Ok(squares) => _ = results.send(Ok(squares)),
                Err(why) => {
                    worker.kill()?;
                    bail!("{why:#}: {}", worker.wait()?);
                }
            }
        }
        worker.wait().context("cannot wait for a worker")?;
        Ok(())
    };
    if let Err(error) = squares() {
        let _ = results.send(Err(error));
    }
}
// ANCHOR_END: imap_unordered

/// In bytes, with the end of the line.
const LONGEST_ANSWER: u64 = 16 << 20;

fn ask(worker: &mut Child, chunk: &[u64]) -> Result<Vec<u64>> {
    let tasks = worker.stdin.as_mut().context("no pipe to the worker")?;
    let numbers: Vec<String> = chunk.iter().map(u64::to_string).collect();
    tasks
        .write_all((numbers.join(" ") + "\n").as_bytes())
        .context("the worker died")?;
    let results = worker.stdout.as_mut().context("no pipe from the worker")?;
    let mut line = String::new();
    BufReader::new(results.take(LONGEST_ANSWER)).read_line(&mut line)?;
    if !line.ends_with('\n') {
        ensure!(
            (line.len() as u64) < LONGEST_ANSWER,
            "the worker was killed: its answer is longer than \
             LONGEST_ANSWER, {LONGEST_ANSWER} bytes"
        );
        bail!("the worker died");
    }
    let squares = line.split_whitespace().map(str::parse);
    let squares: Vec<u64> = squares.collect::<Result<_, _>>()?;
    ensure!(squares.len() == chunk.len(), "not one result for each task");
    Ok(squares)
}

fn worker() -> Result<()> {
    for line in io::stdin().lines() {
        let line = line?;
        let numbers = line.split_whitespace().map(str::parse::<u64>);
        let squares = numbers.map(|n| Ok(n?.pow(2).to_string()));
        let squares = squares.collect::<Result<Vec<_>>>()?.join(" ");
        writeln!(io::stdout(), "{squares}")?;
    }
    Ok(())
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
