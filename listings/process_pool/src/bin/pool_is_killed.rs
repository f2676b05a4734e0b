// ANCHOR: all
//! Proves that busy workers end when the pool is killed or interrupted.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use crossbeam_channel::unbounded;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, SigSet, Signal, kill, killpg, signal};
use nix::unistd::Pid;

fn main() -> Result<()> {
    match env::args_os().nth(1) {
        None => parent(),
        Some(role) if role == "pool" => pool(),
        Some(role) if role == "worker" => worker(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"pool\" or \"worker\"")
        }
    }
}

const ROUNDS: usize = 10;

fn parent() -> Result<()> {
    keep_statuses()?;
    keep_interrupts()?;
    // The workers come to this process when their parent is gone.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    for signal in [Signal::SIGKILL, Signal::SIGINT] {
        for _ in 0..ROUNDS {
            end_a_pool(signal)?;
        }
        println!("{signal} has ended {ROUNDS} pools, and no worker survives");
    }
    Ok(())
}

// ANCHOR: proof
fn end_a_pool(signal: Signal) -> Result<()> {
    let mut pool = start_pool()?;
    let mut log = pool.0.stderr.take().context("no pipe from the pool")?;
    let mut lines = BufReader::new(&mut log).lines();
    for _ in 0..2 {
        let line = lines.next().context("no word from a worker")??;
        if line != "busy" {
            drop(pool.0.stdin.take());
            let rest: Vec<String> = lines.map_while(Result::ok).collect();
            bail!("no pool: {line} {}", rest.join(" "));
        }
    }
    send(signal, Pid::from_raw(pool.0.id().try_into()?))?;
    assert_eq!(pool.0.wait()?.signal(), Some(signal as i32));
    // The pool and all workers hold this pipe: it ends with the last.
    let deadline = Instant::now().checked_add(Duration::from_secs(10));
    let last_has_ended = ready(log.as_fd(), PollFlags::empty(), deadline)?;
    assert!(last_has_ended, "a worker lives on without its pool");
    reap_the_rest();
    Ok(())
}
// ANCHOR_END: proof

fn send(signal: Signal, pool: Pid) -> Result<()> {
    match signal {
        // What a terminal does at Ctrl-C: the whole group gets it.
        Signal::SIGINT => killpg(pool, signal)?,
        _ => kill(pool, signal)?,
    }
    Ok(())
}

fn reap_the_rest() {
    while nix::sys::wait::waitpid(None, None).is_ok() {}
}

/// Whoever starts a program can have it, and all that it starts, ignore or
/// block Ctrl-C.
fn keep_interrupts() -> Result<()> {
    // SAFETY: the default action runs no code of this process.
    unsafe { signal(Signal::SIGINT, SigHandler::SigDfl) }
        .context("cannot reset SIGINT")?;
    let interrupt = SigSet::from(Signal::SIGINT);
    interrupt.thread_unblock().context("cannot unblock SIGINT")
}

fn start_pool() -> Result<Worker> {
    let program = this_program()?;
    let pool = Command::new(&program)
        .arg("pool")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, as a shell gives to each command.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    Ok(Worker(pool, 0))
}

/// Gives an endless task to each of two workers.
fn pool() -> Result<()> {
    let mut workers = [start_worker()?, start_worker()?];
    for worker in &mut workers {
        ensure!(worker.ask("endless", Duration::ZERO)?.is_none(), "it ends");
    }
    // Its own lifeline: the tasks never end, so nothing else ends the pool.
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn run(task: &str) -> Result<u64> {
    ensure!(task == "endless", "heard {task:?}, expected \"endless\"");
    eprintln!("busy");
    loop {
        thread::park();
    }
}

// From here on all is the code of `src/bin/task_deadline.rs`.

fn worker() -> Result<()> {
    let (sender, tasks) = unbounded();
    // A thread reads, so that a busy worker notices the end of its lifeline.
    let reader = move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
        process::exit(0);
    };
    let reader = thread::Builder::new().spawn(reader);
    reader.context("cannot start the thread that reads tasks")?;
    for task in tasks {
        // The answer has the number of its task.
        let (number, task) = task.split_once(' ').context("not a task")?;
        writeln!(io::stdout(), "{number} {}", run(task)?)?;
    }
    Ok(())
}

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
