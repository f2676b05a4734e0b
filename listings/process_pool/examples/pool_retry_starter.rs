// ANCHOR: all
//! Exercise: a task that kills its worker is tried three times.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{self, Child, Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, raise};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

fn check() -> Result<()> {
    limit_time()?;
    let expected = ["1", "4", "lost after 3 tries", "16"];
    let (results, asked) = run()?;
    ensure!(
        results == expected,
        "not solved yet: the results are {results:?}, expected {expected:?}"
    );
    ensure!(
        asked == 1 + 3 + 3 + 1,
        "not solved yet: the workers were asked {asked} times, expected 8"
    );
    println!("solved: {results:?}");
    Ok(())
}

/// Speaks up if the solution hangs, and ends the program.
fn limit_time() -> Result<()> {
    let limit = || {
        thread::sleep(Duration::from_secs(10));
        let _ = writeln!(io::stderr(), "not solved yet: it hangs");
        process::exit(1);
    };
    let limit = thread::Builder::new().spawn(limit);
    limit.context("cannot start a thread")?;
    Ok(())
}

struct Worker {
    child: Child,
    asked: usize,
}

// ANCHOR: task
/// Runs one task, which kills its worker in the first `deaths` tries.
fn run_task(worker: &mut Worker, number: u64, deaths: u64) -> Result<String> {
    let task = match deaths {
        0 => number.to_string(),
        _ => "die".to_owned(),
    };
    match ask(worker, &task)? {
        Some(square) => Ok(square),
        None => Ok("lost after 1 try".to_owned()),
    }
}
// ANCHOR_END: task

/// The results, and how many times a worker was asked for them.
fn run() -> Result<(Vec<String>, usize)> {
    let mut worker = Worker {
        child: start_worker()?,
        asked: 0,
    };
    let mut results = Vec::new();
    for (number, deaths) in [(1, 0), (2, 2), (3, 99), (4, 0)] {
        results.push(run_task(&mut worker, number, deaths)?);
    }
    worker.child.wait()?;
    Ok((results, worker.asked))
}

/// The worker's answer, or nothing if it died: then it is a new worker.
fn ask(worker: &mut Worker, task: &str) -> Result<Option<String>> {
    worker.asked += 1;
    send(&mut worker.child, task)?;
    if let Ok(answer) = receive(&mut worker.child) {
        return Ok(Some(answer));
    }
    worker.child.kill()?;
    worker.child.wait()?;
    worker.child = start_worker()?;
    Ok(None)
}

fn worker() -> Result<()> {
    for line in io::stdin().lines() {
        let line = line?;
        if line == "die" {
            raise(Signal::SIGKILL)?;
        }
        writeln!(io::stdout(), "{}", line.parse::<u64>()?.pow(2))?;
    }
    Ok(())
}

fn send(worker: &mut Child, task: &str) -> Result<()> {
    let tasks = worker.stdin.as_mut().context("no pipe to the worker")?;
    tasks.write_all(format!("{task}\n").as_bytes())?;
    Ok(())
}

/// Reads one answer. An empty one is the end of the worker.
fn receive(worker: &mut Child) -> Result<String> {
    let results = worker.stdout.as_mut().context("no pipe from the worker")?;
    let mut line = String::new();
    BufReader::new(results.take(4096)).read_line(&mut line)?;
    ensure!(line.ends_with('\n'), "the worker has ended");
    Ok(line.trim_end().to_owned())
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
