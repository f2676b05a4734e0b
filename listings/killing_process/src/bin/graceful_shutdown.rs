// ANCHOR: all
//! Asks a worker, and all that it has started, to stop, and kills what does
//! not stop in time.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use std::{env, process, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::SigSet;
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid,
};
use signal_hook::consts::{SIGCHLD, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// What a worker says first, and how long it may take to say it.
const READY: &[u8] = b"ready\n";
const START: Duration = Duration::from_secs(10);

/// How long the output may stay open after the end of the worker's group. Only
/// a process that has left the group can hold it open.
const DRAIN: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    match env::args_os().nth(1) {
        None => parent(),
        Some(role) if role == "tidy" => tidy(),
        Some(role) if role == "stubborn" => stubborn(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"tidy\" or \"stubborn\"")
        }
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    // Ignored, as it may have been inherited, SIGCHLD would free a worker's
    // number at its end. With a handler, even one that only sets a flag, the
    // number stays taken until `wait`.
    flag::register(SIGCHLD, Arc::default())?;
    let mut out = io::stdout();
    for (role, grace_ms) in [("tidy", 10_000), ("stubborn", 100)] {
        let worker = Worker::start(role)?;
        let end = worker.stop(Duration::from_millis(grace_ms))?;
        let (status, bytes) = (end.status, end.output.len());
        writeln!(out, "{role}: {status}, last words: {bytes} bytes")?;
        if let Some(cause) = end.cut {
            writeln!(out, "{role}: there may be more: {cause}")?;
        }
    }
    Ok(())
}
// ANCHOR_END: parent

type Piece = io::Result<Vec<u8>>;

// ANCHOR: worker
struct Worker {
    child: Child,
    /// Its other end is dropped when the worker has ended.
    life: Receiver<Errno>,
    /// The other end is dropped at the end of the worker's output.
    pieces: Receiver<Piece>,
    output: Vec<u8>,
}

struct End {
    status: ExitStatus,
    output: Vec<u8>,
    /// Why `output` may not be all.
    cut: Option<io::Error>,
}
// ANCHOR_END: worker

impl Worker {
    // ANCHOR: start
    fn start(role: &str) -> Result<Worker> {
        let mut child = Command::new(env::current_exe()?)
            .arg(role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What the worker starts is born into its group.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start the {role} worker"))?;
        let (life, pieces) = match watch(&mut child) {
            Ok(watched) => watched,
            Err(error) => {
                child.kill().context("cannot kill the worker")?;
                child.wait().context("cannot wait for the worker")?;
                return Err(error);
            }
        };
        let mut worker = Worker {
            child,
            life,
            pieces,
            output: Vec::new(),
        };
        if let Err(error) = worker.hear_ready() {
            // At the end of its output a worker is about to end by itself.
            worker.ends_within(DRAIN)?;
            let status = worker.stop(Duration::ZERO)?.status;
            let what = format!("the {role} worker has ended: {status}");
            return Err(error.context(what));
        }
        Ok(worker)
    }
    // ANCHOR_END: start

    fn hear_ready(&mut self) -> Result<()> {
        let deadline = Instant::now().checked_add(START);
        while self.output.len() < READY.len() {
            let piece = self.piece(deadline).context("it is not ready")?;
            match piece {
                Some(piece) => self.output.extend(piece),
                None => break,
            }
        }
        let said = String::from_utf8_lossy(&self.output);
        ensure!(self.output.starts_with(READY), "it said {said:?}");
        self.output.drain(..READY.len());
        Ok(())
    }

    // ANCHOR: stop
    /// Sends SIGTERM to the worker's group, waits up to `grace` for the
    /// worker's end, then sends SIGKILL to all that is left of the group.
    fn stop(mut self, grace: Duration) -> Result<End> {
        let group = Pid::from_child(&self.child);
        // Fails if nobody there may be signaled, and SIGKILL will fail, too.
        let _ = kill_process_group(group, Signal::TERM);
        let in_time = self.ends_within(grace)?;
        // It comes before `wait`, which sets the number free.
        let killed = kill_process_group(group, Signal::KILL);
        if !in_time {
            killed.context("cannot kill the worker and its group")?;
        }
        let status = self.child.wait().context("cannot wait for the worker")?;

        let deadline = Instant::now().checked_add(DRAIN);
        let cut = loop {
            match self.piece(deadline) {
                Ok(Some(piece)) => self.output.extend(piece),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        let output = self.output;
        Ok(End {
            status,
            output,
            cut,
        })
    }

    /// Waits up to `limit` for the worker's end, and does not reap it.
    fn ends_within(&self, limit: Duration) -> Result<bool> {
        match self.life.recv_timeout(limit) {
            Err(RecvTimeoutError::Timeout) => Ok(false),
            Err(RecvTimeoutError::Disconnected) => Ok(true),
            // Somebody else has reaped it: its number may be a stranger's.
            Ok(error) => Err(error).context("cannot see the worker's end"),
        }
    }
    // ANCHOR_END: stop

    /// The next piece of the output; `None` at its end.
    fn piece(&self, deadline: Option<Instant>) -> io::Result<Option<Vec<u8>>> {
        // Further away than any clock shows: no deadline.
        let left = deadline.map_or(Duration::MAX, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        });
        match self.pieces.recv_timeout(left) {
            Ok(piece) => piece.map(Some),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }
}

// ANCHOR: watch
/// Starts two threads: one ends with the worker, the other with its output.
fn watch(child: &mut Child) -> Result<(Receiver<Errno>, Receiver<Piece>)> {
    let id = WaitId::Pid(Pid::from_child(child));
    let output = child.stdout.take().context("the worker has no output")?;
    let (alive, life) = mpsc::channel();
    let (sender, pieces) = mpsc::channel();
    thread::Builder::new()
        .spawn(move || see_end(id, &alive))
        .context("cannot start the thread that waits")?;
    thread::Builder::new()
        .spawn(move || read_pieces(output, &sender))
        .context("cannot start the thread that reads")?;
    Ok((life, pieces))
}

/// NOWAIT only looks: the status, and with it the number, stays.
fn see_end(id: WaitId<'_>, alive: &Sender<Errno>) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    if let Err(error) = retry_on_intr(|| waitid(id.clone(), options)) {
        let _ = alive.send(error);
    }
}

/// Reads at once what comes, or the worker is stuck when the pipe is full.
fn read_pieces(mut output: ChildStdout, pieces: &Sender<Piece>) {
    let mut buffer = [0; 8192];
    loop {
        let piece = match output.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => Ok(buffer[..length].to_vec()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = piece.is_err();
        // Sending fails when nobody wants the pieces any more.
        if pieces.send(piece).is_err() || failed {
            return;
        }
    }
}
// ANCHOR_END: watch

// ANCHOR: tidy
fn tidy() -> Result<()> {
    let mut signals = Signals::new([SIGTERM])?;
    // The parent may have been started with signals blocked.
    SigSet::all().thread_unblock().context("cannot unblock")?;
    end_with_parent()?;
    writeln!(io::stdout(), "ready")?;
    for _ in signals.forever().take(1) {
        writeln!(io::stdout(), "{}", "saved. ".repeat(30_000))?;
    }
    Ok(())
}
// ANCHOR_END: tidy

fn stubborn() -> Result<()> {
    // The signal sets a flag, and nobody looks at the flag.
    flag::register(SIGTERM, Arc::default())?;
    writeln!(io::stdout(), "ready")?;
    io::copy(&mut io::stdin(), &mut io::sink())
        .context("cannot read standard input")?;
    Ok(())
}

// ANCHOR: lifeline
/// Ends this process when the parent is gone: then nobody holds the other end
/// of standard input, and reading it comes to the end of file.
fn end_with_parent() -> Result<()> {
    let watch = || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        // Nothing stands before this line that can fail or wait.
        process::exit(1);
    };
    thread::Builder::new()
        .spawn(watch)
        .context("cannot watch the lifeline")?;
    Ok(())
}
// ANCHOR_END: lifeline
// ANCHOR_END: all
