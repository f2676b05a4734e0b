// ANCHOR: all
//! Proves that a worker's death costs one task, however the worker dies.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, thread};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use nix::sys::signal::{SigHandler, Signal, raise, signal};
use serde::{Deserialize, Serialize};

fn main() -> Result<()> {
    match env::args_os().nth(1) {
        None => parent(),
        Some(role) if role == "worker" => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

#[derive(Serialize, Deserialize)]
enum Task {
    Square(i64),
    Abort,
    Exit,
    Kill,
}

impl Task {
    fn run(self) -> Result<i64, String> {
        // An abort leaves no core file behind.
        #[cfg(target_os = "linux")]
        nix::sys::prctl::set_dumpable(false).map_err(|it| it.to_string())?;
        match self {
            Task::Square(n) => return Ok(n.pow(2)),
            Task::Abort => process::abort(),
            Task::Exit => process::exit(0),
            Task::Kill => {
                raise(Signal::SIGKILL).map_err(|it| it.to_string())?
            }
        }
        Err("the worker has outlived its end".to_owned())
    }
}

fn parent() -> Result<()> {
    // ANCHOR: proof
    use Task::{Abort, Exit, Kill, Square};
    let tasks = [
        Square(1),
        Abort,
        Square(2),
        Exit,
        Square(5),
        Kill,
        Square(4),
    ];
    // One worker, so that each task but the first waits for a new one.
    let answers = with_pool(1, |pool| Ok(pool.map(|task| task, tasks.into())))?;
    let answers = answers.into_iter().map(|answer| match answer {
        Ok(square) => square.to_string(),
        Err(error) => error.to_string(),
    });
    let answers: Vec<String> = answers.collect();
    let [abort, exit, kill] = [
        "the worker died: signal: 6 (SIGABRT)",
        "the worker died: exit status: 0",
        "the worker died: signal: 9 (SIGKILL)",
    ];
    assert_eq!(answers, ["1", abort, "4", exit, "25", kill, "16"]);
    // ANCHOR_END: proof
    println!("abort, exit, kill: one lost task each, all others done");
    Ok(())
}

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

    /// A result for each of the arguments, in their order.
    fn map<A>(&self, f: impl Fn(A) -> Task, args: Vec<A>) -> Vec<Result<i64>> {
        let start = |arg| self.apply_async(f(arg));
        let pending: Vec<_> = args.into_iter().map(start).collect();
        pending.into_iter().map(get).collect()
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
