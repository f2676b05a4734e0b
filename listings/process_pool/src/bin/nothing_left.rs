// ANCHOR: all
//! Proves that a pool leaves no process behind, not even after a death.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{self, Child, Command, Stdio};
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use crossbeam_channel::{Receiver, unbounded};
use nix::errno::Errno;
use nix::sys::wait::waitpid;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let started = thread::scope(|scope| {
        let (jobs, queue) = unbounded();
        let start = |queue| scope.spawn(|| supervise(queue));
        let supervisors: Vec<_> =
            vec![queue; 3].into_iter().map(start).collect();
        let tasks = ["1", "exit", "2", "exit", "3"];
        tasks.into_iter().try_for_each(|task| jobs.send(task))?;
        drop(jobs);
        let ends = supervisors.into_iter().map(|it| it.join());
        let ends = ends.map(|end| end.unwrap_or_else(|_| bail!("panicked")));
        ends.sum::<Result<usize>>()
    })?;
    assert_eq!(started, 3 + 2, "three workers and two replacements");
    assert_eq!(waitpid(None, None), Err(Errno::ECHILD), "no child is left");
    println!("workers started: {started}, left: 0");
    Ok(())
}
// ANCHOR_END: proof

/// Returns how many workers it has started.
fn supervise(queue: Receiver<&str>) -> Result<usize> {
    let mut started = 1;
    let mut worker = start_worker()?;
    for task in queue {
        if send(&mut worker, task)
            .and_then(|()| receive(&mut worker))
            .is_err()
        {
            worker.kill()?;
            worker.wait()?;
            worker = start_worker()?;
            started += 1;
        }
    }
    worker.wait()?;
    Ok(started)
}

fn worker() -> Result<()> {
    for task in io::stdin().lines() {
        match task?.as_str() {
            "exit" => process::exit(3),
            number => println!("{}", number.parse::<u64>()?.pow(2)),
        }
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
