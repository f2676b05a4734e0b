// ANCHOR: all
//! Keeps several tasks in flight, and loses none when the worker dies.

use std::collections::VecDeque;
use std::env;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::signal::{SigHandler, Signal, raise, signal};

const WINDOW: usize = 4;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    keep_statuses()?;
    for policy in [OnDeath::Report, OnDeath::Retry { times: 1 }] {
        // The third kills its worker once, the fifth each time.
        let tasks = [0, 0, 1, 0, 9, 0].into_iter().enumerate().map(
            |(index, deaths)| Task {
                number: index + 1,
                deaths,
                tries: 0,
            },
        );
        println!("{policy:?}:");
        for (number, result) in run_all(tasks.collect(), policy)? {
            match result {
                Ok(square) => println!("  task {number}: {square}"),
                Err(error) => println!("  task {number}: {error}"),
            }
        }
    }
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: task
/// Squares `number`, but kills its worker in the first `deaths` tries.
struct Task {
    number: usize,
    deaths: usize,
    tries: usize,
}

#[derive(Clone, Copy, Debug)]
enum OnDeath {
    Report,
    Retry { times: usize },
}
// ANCHOR_END: task

// ANCHOR: run_all
type Results = Vec<(usize, Result<usize>)>;

fn run_all(mut queue: VecDeque<Task>, on_death: OnDeath) -> Result<Results> {
    let mut results = Vec::new();
    let mut in_flight: VecDeque<Task> = VecDeque::new();
    let mut worker = start_worker()?;
    loop {
        while in_flight.len() < WINDOW {
            let Some(task) = queue.pop_front() else { break };
            send(&mut worker, &task);
            in_flight.push_back(task);
        }
        let Some(mut task) = in_flight.pop_front() else {
            break;
        };
        task.tries += 1;
        let why = match receive(&mut worker) {
            Ok(square) => {
                results.push((task.number, Ok(square)));
                continue;
            }
            Err(why) => why,
        };
        worker.kill()?;
        let status = worker.wait()?;
        match on_death {
            OnDeath::Retry { times } if task.tries <= times => {
                in_flight.push_front(task);
            }
            _ => {
                let tries = task.tries;
                let error = anyhow!("{why}: {status}, tries: {tries}");
                results.push((task.number, Err(error)));
            }
        }
        worker = match start_worker() {
            Ok(worker) => worker,
            Err(error) => {
                // What is done stays done: the rest has an error each.
                let rest = in_flight.into_iter().chain(queue);
                results.extend(rest.map(|task| {
                    (task.number, Err(anyhow!("no worker: {error:#}")))
                }));
                return Ok(results);
            }
        };
        // The old worker had not begun what is behind the task in its hand.
        in_flight.iter().for_each(|task| send(&mut worker, task));
    }
    worker.wait().context("cannot wait for the worker")?;
    Ok(results)
}
// ANCHOR_END: run_all

fn send(worker: &mut Child, task: &Task) {
    let dies = u8::from(task.tries < task.deaths);
    let line = format!("{} {dies}\n", task.number);
    if let Some(tasks) = worker.stdin.as_mut() {
        // If the worker is dead, `receive` finds out.
        let _ = tasks.write_all(line.as_bytes());
    }
}

/// In bytes: no number of this program has more digits.
const LONGEST_ANSWER: usize = 32;

fn receive(worker: &mut Child) -> Result<usize> {
    let results = worker.stdout.as_mut().context("no pipe from the worker")?;
    let mut line = String::new();
    // No buffer: it could swallow the answers behind this one.
    while !line.ends_with('\n') {
        let mut byte = [0];
        results.read_exact(&mut byte).context("the worker died")?;
        ensure!(
            line.len() < LONGEST_ANSWER,
            "the worker was killed: its answer is longer than \
             LONGEST_ANSWER, {LONGEST_ANSWER} bytes"
        );
        line.push(char::from(byte[0]));
    }
    line.trim_end()
        .parse()
        .context("the worker was killed: its answer is no number")
}

// ANCHOR: worker
fn worker() -> Result<()> {
    for line in io::stdin().lines() {
        let line = line?;
        let (number, dies) = line.split_once(' ').context("not a task")?;
        if dies == "1" {
            raise(Signal::SIGKILL)?;
        }
        writeln!(io::stdout(), "{}", number.parse::<usize>()?.pow(2))?;
    }
    Ok(())
}
// ANCHOR_END: worker

fn start_worker() -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a worker")
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
