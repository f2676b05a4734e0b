// ANCHOR: all
//! Ends a pool in two ways: after all its tasks, and at once.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::{env, process};

use anyhow::{Context, Result, anyhow, bail, ensure};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let mut pool = Pool::new(2)?;
    let pending = ["1", "2", "3", "4"].map(|task| pool.apply_async(task));
    pool.close();
    pool.join()?;
    report("close and join", pending);

    let pool = Pool::new(2)?;
    let tasks = ["endless", "endless", "3", "4"];
    let pending = tasks.map(|task| pool.apply_async(task));
    pool.terminate()?;
    report("terminate", pending);
    Ok(())
}
// ANCHOR_END: parent

fn report(name: &str, pending: [Receiver<Result<String>>; 4]) {
    let done = pending.iter().filter(|it| matches!(it.recv(), Ok(Ok(_))));
    println!("{name}: {} of {} tasks done", done.count(), pending.len());
}

type Job = (&'static str, Sender<Result<String>>);
type Worker = Arc<Mutex<Child>>;

struct Pool {
    jobs: Option<Sender<Job>>,
    workers: Vec<(Worker, JoinHandle<Result<()>>)>,
}

impl Pool {
    fn new(size: usize) -> Result<Pool> {
        let (jobs, queue) = unbounded();
        let mut workers = Vec::new();
        for _ in 0..size {
            let (worker, pipes) = start_worker()?;
            let (queue, child) = (queue.clone(), Arc::clone(&worker));
            let supervisor = thread::spawn(|| supervise(child, pipes, queue));
            workers.push((worker, supervisor));
        }
        Ok(Pool {
            jobs: Some(jobs),
            workers,
        })
    }

    fn apply_async(&self, task: &'static str) -> Receiver<Result<String>> {
        let (reply, pending) = bounded(1);
        // Without a queue `reply` is dropped, and `pending` reports that.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send((task, reply)));
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
        for (_, supervisor) in self.workers {
            let ended = supervisor.join();
            ended.map_err(|_| anyhow!("a supervisor panicked"))??;
        }
        Ok(())
    }

    /// Kills all workers. What they had, and what was queued, fails.
    fn terminate(self) -> Result<()> {
        for (worker, _) in &self.workers {
            lock(worker).kill().context("cannot kill a worker")?;
        }
        self.join()
    }
    // ANCHOR_END: endings
}

fn lock(worker: &Worker) -> MutexGuard<'_, Child> {
    worker.lock().unwrap_or_else(PoisonError::into_inner)
}

// ANCHOR: supervise
struct Pipes {
    tasks: ChildStdin,
    results: BufReader<ChildStdout>,
}

fn supervise(
    worker: Worker,
    mut pipes: Pipes,
    queue: Receiver<Job>,
) -> Result<()> {
    for (task, reply) in queue {
        // With a dead worker this fails at once.
        let _ = reply.send(ask(&mut pipes, task));
    }
    drop(pipes);
    lock(&worker).wait().context("cannot wait for a worker")?;
    Ok(())
}

fn ask(pipes: &mut Pipes, task: &str) -> Result<String> {
    pipes.tasks.write_all(format!("{task}\n").as_bytes())?;
    let mut line = String::new();
    (&mut pipes.results).take(4096).read_line(&mut line)?;
    ensure!(line.ends_with('\n'), "the worker has ended");
    Ok(line.trim_end().to_owned())
}
// ANCHOR_END: supervise

fn worker() -> Result<()> {
    let (sender, tasks) = unbounded();
    // A thread reads, so that a busy worker notices the end of its lifeline.
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
        process::exit(0);
    });
    for task in tasks {
        writeln!(io::stdout(), "{}", run(&task)?)?;
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

fn start_worker() -> Result<(Worker, Pipes)> {
    let mut worker = Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a worker")?;
    let tasks = worker.stdin.take().context("no pipe to the worker")?;
    let results = worker.stdout.take().context("no pipe from the worker")?;
    let results = BufReader::new(results);
    Ok((Arc::new(Mutex::new(worker)), Pipes { tasks, results }))
}
// ANCHOR_END: all
