// ANCHOR: all
//! Proves that a slow task delays no other: whoever is free takes the next.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use crossbeam_channel::{Receiver, Sender, unbounded};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let mut workers = [start_worker()?, start_worker()?];
    let pids = [workers[0].id(), workers[1].id()];
    thread::scope(|scope| {
        let queue = queue_of("stuck 1 2 3 4 5 6 7 8")?;
        let (results, arrivals) = unbounded();
        for worker in &mut workers {
            let (queue, results) = (queue.clone(), results.clone());
            scope.spawn(move || supervise(worker, queue, results));
        }
        drop(results);
        let next = |_| arrivals.recv_timeout(Duration::from_secs(10)).ok();
        let done: Vec<String> = (0..8).map_while(next).collect();
        pids.into_iter().try_for_each(end)?;
        assert_eq!(done, ["1", "4", "9", "16", "25", "36", "49", "64"]);
        println!("one worker was stuck; the other has done {}", done.len());
        Ok::<_, anyhow::Error>(())
    })?;
    workers
        .iter_mut()
        .try_for_each(|it| it.wait().map(|_| ()))?;
    Ok(())
}
// ANCHOR_END: proof

fn queue_of(tasks: &'static str) -> Result<Receiver<&'static str>> {
    let (jobs, queue) = unbounded();
    tasks.split(' ').try_for_each(|task| jobs.send(task))?;
    Ok(queue)
}

fn supervise(
    worker: &mut Child,
    queue: Receiver<&str>,
    results: Sender<String>,
) {
    for task in queue {
        let answer = send(worker, task).and_then(|()| receive(worker));
        // An answer that is missing is missed by the reader of `results`.
        let _ = answer.map(|answer| results.send(answer));
    }
}

fn end(pid: u32) -> Result<()> {
    let pid = Pid::from_raw(pid.try_into()?);
    kill(pid, Signal::SIGKILL).context("cannot kill a worker")
}

fn worker() -> Result<()> {
    let mut lines = io::stdin().lines();
    while let Some(task) = lines.next() {
        match task?.as_str() {
            // Until the parent has gone, or kills this process.
            "stuck" => drop(lines.next()),
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
