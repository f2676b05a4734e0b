// ANCHOR: all
//! A pool of worker processes with map, starmap, apply and apply_async.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::{env, process, thread};

use anyhow::{Context, Error, Result, anyhow, bail};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use serde::{Deserialize, Serialize};

// ANCHOR: task
#[derive(Serialize, Deserialize)]
enum Task {
    Root(i64),
    Power(i64, u32),
    Exit(i32),
}

impl Task {
    fn run(self) -> Result<i64, String> {
        match self {
            Task::Root(n) if n < 0 => Err(format!("{n} has no square root")),
            Task::Root(n) => Ok(n.isqrt()),
            Task::Power(base, exponent) => Ok(base.pow(exponent)),
            Task::Exit(code) => process::exit(code),
        }
    }
}
// ANCHOR_END: task

// ANCHOR: main
fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => with_pool(3, parent),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}
// ANCHOR_END: main

fn parent(pool: Pool) -> Result<()> {
    let squares = vec![1, 4, 9, 16, 25, 36];
    println!("map: {:?}", pool.map(Task::Root, squares)?);
    let pairs = vec![(2, 10), (3, 4)];
    println!("starmap: {:?}", pool.starmap(Task::Power, pairs)?);
    println!("apply: {}", pool.apply(Task::Power(7, 3))?);

    let pending = pool.apply_async(Task::Root(144));
    println!("the parent goes on");
    println!("apply_async: {}", get(pending)?);

    for task in [Task::Root(-1), Task::Exit(3)] {
        if let Err(error) = pool.apply(task) {
            println!("error: {error}");
        }
    }
    println!("map: {:?}", pool.map(Task::Root, vec![49, 64, 81])?);
    Ok(())
}

// ANCHOR: worker
fn worker() -> Result<()> {
    for line in io::stdin().lines() {
        let task: Task = serde_json::from_str(&line?)?;
        writeln!(io::stdout(), "{}", serde_json::to_string(&task.run())?)?;
    }
    Ok(())
}
// ANCHOR_END: worker

// ANCHOR: pool
type Job = (Task, Sender<Result<i64>>);
type Results = Result<Vec<i64>>;

struct Pool(Sender<Job>);

fn with_pool(size: usize, work: fn(Pool) -> Result<()>) -> Result<()> {
    thread::scope(|scope| {
        let (jobs, queue) = unbounded();
        for queue in vec![queue; size] {
            let run = || supervise(queue).inspect_err(|e| eprintln!("{e:#}"));
            scope.spawn(run);
        }
        work(Pool(jobs))
    })
}
// ANCHOR_END: pool

impl Pool {
    // ANCHOR: apply
    fn apply_async(&self, task: Task) -> Receiver<Result<i64>> {
        let (reply, pending) = bounded(1);
        // If this fails, `reply` is dropped, and `get` reports that.
        let _ = self.0.send((task, reply));
        pending
    }

    fn apply(&self, task: Task) -> Result<i64> {
        get(self.apply_async(task))
    }
    // ANCHOR_END: apply

    // ANCHOR: map
    fn map<A>(&self, f: impl Fn(A) -> Task, args: Vec<A>) -> Results {
        let start = |arg| self.apply_async(f(arg));
        let pending: Vec<_> = args.into_iter().map(start).collect();
        pending.into_iter().map(get).collect()
    }

    fn starmap<A, B>(&self, f: fn(A, B) -> Task, args: Vec<(A, B)>) -> Results {
        self.map(|(a, b)| f(a, b), args)
    }
    // ANCHOR_END: map
}

// ANCHOR: get
fn get(pending: Receiver<Result<i64>>) -> Result<i64> {
    pending.recv().context("the pool has lost this task")?
}
// ANCHOR_END: get

// ANCHOR: supervise
fn supervise(queue: Receiver<Job>) -> Result<()> {
    let mut worker = start_worker()?;
    for (task, reply) in queue {
        let result = match ask(&mut worker, &task) {
            Ok(result) => result.map_err(Error::msg),
            Err(_) => {
                worker.kill()?;
                let status = worker.wait()?;
                worker = start_worker()?;
                Err(anyhow!("the worker died: {status}"))
            }
        };
        // The caller may want no answer and have dropped its receiver.
        let _ = reply.send(result);
    }
    worker.wait().context("cannot wait for a worker")?;
    Ok(())
}
// ANCHOR_END: supervise

// ANCHOR: ask
fn ask(worker: &mut Child, task: &Task) -> Result<Result<i64, String>> {
    let tasks = worker.stdin.as_mut().context("no pipe to the worker")?;
    tasks.write_all((serde_json::to_string(task)? + "\n").as_bytes())?;
    let results = worker.stdout.as_mut().context("no pipe from the worker")?;
    let mut line = String::new();
    BufReader::new(results.take(4096)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}
// ANCHOR_END: ask

fn start_worker() -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a worker")
}
// ANCHOR_END: all
