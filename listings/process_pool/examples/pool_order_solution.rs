// ANCHOR: all
//! Exercise: results in the order of the tasks, solved.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{self, Child, Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};

const TASKS: [&str; 4] = ["one", "two", "three", "four"];

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

fn check() -> Result<()> {
    limit_time()?;
    for order in [[2, 0, 3, 1], [1, 3, 0, 2]] {
        // Nobody knows them before.
        let tasks = TASKS.map(|task| format!("{task} of {}", process::id()));
        let results = run(&tasks, order)?;
        ensure!(
            results == tasks,
            "not solved yet: the results are {results:?}, expected {tasks:?}"
        );
    }
    println!("solved: {TASKS:?}");
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

// ANCHOR: task
/// Takes pairs of a task's index and its result, in the order of arrival.
fn collect(mut arrivals: Vec<(usize, String)>) -> Vec<String> {
    arrivals.sort_by_key(|(index, _)| *index);
    arrivals.into_iter().map(|(_, result)| result).collect()
}
// ANCHOR_END: task

/// The tasks end in this order.
fn run(tasks: &[String; 4], order: [usize; 4]) -> Result<Vec<String>> {
    let mut workers = Vec::new();
    for task in tasks {
        let mut worker = start_worker()?;
        send(&mut worker, task)?;
        workers.push(worker);
    }
    let mut arrivals = Vec::new();
    for index in order {
        // Each task waits for this line before it ends.
        send(&mut workers[index], "go")?;
        arrivals.push((index, receive(&mut workers[index])?));
    }
    workers
        .iter_mut()
        .try_for_each(|it| it.wait().map(|_| ()))?;
    Ok(collect(arrivals))
}

fn worker() -> Result<()> {
    let mut lines = io::stdin().lines();
    while let Some(task) = lines.next() {
        let task = task?;
        lines.next().context("the parent is gone")??;
        writeln!(io::stdout(), "{task}")?;
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
