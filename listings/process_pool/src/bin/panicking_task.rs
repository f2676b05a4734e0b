// ANCHOR: all
//! Proves that a panic in a task is an error, and the worker goes on.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, panic, thread};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use nix::sys::signal::{SigHandler, Signal, signal};
use serde::{Deserialize, Serialize};

fn main() -> Result<()> {
    match env::args_os().nth(1) {
        None => parent(),
        Some(role) if role == "worker" => {
            // The text goes to the parent, so it need not be printed as well.
            panic::set_hook(Box::new(|_| {}));
            worker()
        }
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

#[derive(Serialize, Deserialize)]
enum Task {
    Divide(i64, i64),
    Pid,
}

impl Task {
    fn work(self) -> i64 {
        match self {
            Task::Divide(a, b) => a / b,
            Task::Pid => process::id().into(),
        }
    }

    // ANCHOR: proof
    fn run(self) -> Result<i64, String> {
        panic::catch_unwind(|| self.work()).map_err(|panic| {
            let text = panic.downcast_ref::<&str>().map(|it| it.to_string());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            text.unwrap_or_else(|| "a panic without a text".to_owned())
        })
    }
}

fn parent() -> Result<()> {
    with_pool(1, |pool| {
        let before = pool.apply(Task::Pid)?;
        let panicked = pool.apply(Task::Divide(12, 0));
        let error = panicked.map_err(|error| error.to_string());
        assert_eq!(error, Err("attempt to divide by zero".to_owned()));
        let after = pool.apply(Task::Pid)?;
        assert_eq!(after, before, "the same worker goes on");
        println!("12 / 0: {error:?}");
        Ok(())
    })
}
// ANCHOR_END: proof

// From here on all is the code of `src/main.rs`.

fn worker() -> Result<()> {
    for line in io::stdin().lines() {
        let task = serde_json::from_str::<Task>(&line?);
        let task = task.map_err(|error| format!("not a task: {error}"));
        let result = task.and_then(Task::run);
        writeln!(io::stdout(), "{}", serde_json::to_string(&result)?)?;
    }
    Ok(())
}

/// A task as a line of text, and where its result goes.
type Job = (String, Sender<Result<i64>>);

struct Pool(Sender<Job>);

fn with_pool<T>(
    size: usize,
    work: impl FnOnce(&Pool) -> Result<T>,
) -> Result<T> {
    ensure!(size > 0, "a pool needs at least one worker");
    keep_statuses()?;
    let supervisors = AtomicUsize::new(size);
    thread::scope(|scope| {
        let (jobs, queue) = unbounded();
        for queue in vec![queue; size] {
            let worker = start_worker()?;
            let supervise = || supervise(worker, queue, &supervisors);
            thread::Builder::new()
                .spawn_scoped(scope, supervise)
                .context("cannot start the thread of a worker")?;
        }
        work(&Pool(jobs))
    })
}

impl Pool {
    fn apply_async(&self, task: Task) -> Receiver<Result<i64>> {
        let (reply, pending) = bounded(1);
        match serde_json::to_string(&task) {
            // If this fails, `reply` is dropped, and `get` reports that.
            Ok(task) => drop(self.0.send((task + "\n", reply))),
            Err(error) => drop(reply.send(Err(error.into()))),
        }
        pending
    }

    fn apply(&self, task: Task) -> Result<i64> {
        get(self.apply_async(task))
    }
}

fn get(pending: Receiver<Result<i64>>) -> Result<i64> {
    pending.recv().context("the pool has lost this task")?
}

fn supervise(
    mut worker: Worker,
    queue: Receiver<Job>,
    supervisors: &AtomicUsize,
) {
    for (task, reply) in &queue {
        let lost = match worker.ask(&task) {
            Ok(result) => {
                // The caller may want no answer and have dropped its receiver.
                let _ = reply.send(result.map_err(Error::msg));
                continue;
            }
            Err(why) => anyhow!("{why:#}: {}", worker.end()),
        };
        // First the news, then the replacement: it may be slow, or fail.
        let _ = reply.send(Err(lost));
        worker = match start_worker() {
            Ok(worker) => worker,
            Err(why) => return give_up(queue, supervisors, &why),
        };
    }
    if let Err(why) = worker.leave() {
        let _ = writeln!(io::stderr(), "{why:#}");
    }
}

/// The other supervisors go on. The last one stays and answers for all.
fn give_up(queue: Receiver<Job>, supervisors: &AtomicUsize, why: &Error) {
    let _ = writeln!(io::stderr(), "the pool has a worker less: {why:#}");
    if supervisors.fetch_sub(1, Ordering::Relaxed) == 1 {
        for (_, reply) in queue {
            let lost = anyhow!("no worker is left, because {why:#}");
            let _ = reply.send(Err(lost));
        }
    }
}

/// Wherever it goes out of scope, it is ended and waited for.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn start_worker() -> Result<Worker> {
    let program = this_program()?;
    let worker = Command::new(&program)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    Ok(Worker(worker))
}

/// A path to the program that runs, even if its file has been replaced.
fn this_program() -> io::Result<PathBuf> {
    match cfg!(target_os = "linux") {
        true => Ok(PathBuf::from("/proc/self/exe")),
        false => env::current_exe(),
    }
}

/// In bytes, with the end of the line. Far more than a result should have.
const LONGEST_ANSWER: u64 = 16 << 20;

impl Worker {
    /// The task's result. After any other error the worker is of no use.
    fn ask(&mut self, task: &str) -> Result<Result<i64, String>> {
        let tasks = self.0.stdin.as_mut().context("no pipe to the worker")?;
        let results = self.0.stdout.as_mut();
        let results = results.context("no pipe from the worker")?;
        tasks
            .write_all(task.as_bytes())
            .context("the worker died")?;
        let mut line = Vec::new();
        BufReader::new(results.take(LONGEST_ANSWER))
            .read_until(b'\n', &mut line)
            .context("cannot read from the worker")?;
        if !line.ends_with(b"\n") {
            ensure!(
                (line.len() as u64) < LONGEST_ANSWER,
                "the worker was killed: its answer is longer than \
                 LONGEST_ANSWER, {LONGEST_ANSWER} bytes"
            );
            bail!("the worker died");
        }
        serde_json::from_slice(&line)
            .context("the worker was killed: its answer is no result")
    }

    /// Kills the worker, if it still lives, and tells how it has ended.
    fn end(&mut self) -> String {
        match self.0.kill().and_then(|()| self.0.wait()) {
            Ok(status) => status.to_string(),
            Err(error) => format!("cannot end it: {error}"),
        }
    }

    /// Waits for an idle worker. It leaves when its standard input ends.
    fn leave(&mut self) -> Result<()> {
        let status = self.0.wait().context("cannot wait for a worker")?;
        ensure!(status.success(), "an idle worker ended with {status}");
        Ok(())
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
// ANCHOR_END: all
