// ANCHOR: all
//! Proves that a late answer comes to the next task, and its number tells.

use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, signal};

fn main() -> Result<()> {
    match env::args_os().nth(1) {
        None => parent(),
        Some(role) if role == "worker" => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    keep_statuses()?;
    let ample = Duration::from_secs(10);
    let mut worker = start_worker()?;
    let late = worker.ask("slow", Duration::from_millis(20))?;
    assert_eq!(late, None, "the parent gives up");
    let stale = worker.ask("7", ample).map_err(|why| why.to_string());
    let why = "it printed what is not this task's answer".to_owned();
    assert_eq!(stale, Err(why), "the slow result has another number");

    worker.end()?;
    worker = start_worker()?;
    let fresh = worker.ask("7", ample)?;
    assert_eq!(fresh.as_deref(), Some("49"));
    println!("7 squared by the late worker: an old answer; by a new one: 49");
    Ok(())
}
// ANCHOR_END: proof

fn worker() -> Result<()> {
    let mut tasks = io::stdin().lines().peekable();
    while let Some(line) = tasks.next() {
        let line = line?;
        let (number, task) = line.split_once(' ').context("not a task")?;
        match task {
            // Slow enough: it lasts until the parent has sent another task.
            "slow" => {
                tasks.peek();
                println!("{number} the slow result");
                // For that one it is as slow, so nothing follows.
                tasks.nth(1);
            }
            task => println!("{number} {}", task.parse::<u64>()?.pow(2)),
        }
    }
    Ok(())
}

// From here on all is the code of `src/bin/task_deadline.rs`.

/// In bytes, with the end of the line.
const LONGEST_ANSWER: usize = 16 << 20;

impl Worker {
    /// `None` if there is no answer in time. The worker must then be killed,
    /// and after an error too.
    fn ask(&mut self, task: &str, limit: Duration) -> Result<Option<String>> {
        let pipes = (self.0.stdin.as_mut(), self.0.stdout.as_mut());
        let (Some(tasks), Some(results)) = pipes else {
            bail!("no pipes to the worker");
        };
        // None, a time that no clock can show, is no limit.
        let deadline = Instant::now().checked_add(limit);
        self.1 += 1;
        let number = self.1;
        let task = format!("{number} {task}\n");
        let mut rest = task.as_bytes();
        while !rest.is_empty() {
            if !ready(tasks.as_fd(), PollFlags::POLLOUT, deadline)? {
                return Ok(None);
            }
            let written = tasks.write(rest);
            let written = moved(written).context("cannot send the task")?;
            rest = &rest[written.unwrap_or(0)..];
        }
        let mut answer = Vec::new();
        while !answer.ends_with(b"\n") {
            if !ready(results.as_fd(), PollFlags::POLLIN, deadline)? {
                return Ok(None);
            }
            let mut piece = [0; 4096];
            let read = results.read(&mut piece);
            let read = moved(read).context("cannot read the answer")?;
            ensure!(read != Some(0), "no answer");
            answer.extend(&piece[..read.unwrap_or(0)]);
            ensure!(
                answer.len() <= LONGEST_ANSWER,
                "the answer is longer than LONGEST_ANSWER, \
                 {LONGEST_ANSWER} bytes"
            );
        }
        let answer = String::from_utf8(answer).context("not a text")?;
        ensure!(answer.lines().count() == 1, "more than one answer");
        let own = answer.strip_prefix(&format!("{number} "));
        let own = own.context("it printed what is not this task's answer")?;
        Ok(Some(own.trim_end().to_owned()))
    }

    /// Kills the worker, if it still lives, and tells how it has ended.
    fn end(&mut self) -> Result<ExitStatus> {
        self.0.kill().context("cannot kill the worker")?;
        self.0.wait().context("cannot wait for the worker")
    }
}

/// How many bytes went through the pipe; none if it has to be tried again.
fn moved(bytes: io::Result<usize>) -> io::Result<Option<usize>> {
    match bytes {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(None),
            _ => Err(error),
        },
    }
}

/// Waits until the pipe is ready. False if the deadline comes first.
fn ready(
    pipe: BorrowedFd,
    events: PollFlags,
    deadline: Option<Instant>,
) -> Result<bool> {
    loop {
        let left = deadline.map_or(Duration::MAX, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        });
        // Up to the next millisecond, and less than 25 days at a time.
        let millis = left.as_nanos().div_ceil(1_000_000);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pipe, events)], timeout) {
            Ok(0) if left.is_zero() => return Ok(false),
            // A signal has interrupted it, or a part of the time is over.
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error).context("cannot wait"),
        }
    }
}

/// With the number of its last task. Wherever it goes out of scope, it is
/// ended and waited for.
struct Worker(Child, u64);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn start_worker() -> Result<Worker> {
    let program = this_program()?;
    let child = Command::new(&program)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let worker = Worker(child, 0);
    // Only the parent's ends: the worker reads and writes as ever.
    worker.0.stdin.as_ref().map_or(Ok(()), never_wait)?;
    worker.0.stdout.as_ref().map_or(Ok(()), never_wait)?;
    Ok(worker)
}

fn never_wait(pipe: impl AsFd) -> Result<()> {
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
        .context("cannot set up a pipe")?;
    Ok(())
}

/// A path to the program that runs, even if its file has been replaced.
fn this_program() -> io::Result<PathBuf> {
    match cfg!(target_os = "linux") {
        true => Ok(PathBuf::from("/proc/self/exe")),
        false => env::current_exe(),
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
