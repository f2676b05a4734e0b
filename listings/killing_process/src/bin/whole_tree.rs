// ANCHOR: all
//! Proves that stopping a worker's group ends what the worker has started, and
//! that what has left the group costs the output's end, and no more.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use std::{env, process, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{SIGKILL, SigSet};
use nix::sys::wait::{WaitPidFlag, WaitStatus, wait, waitpid};
use nix::unistd::setsid;
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

const GRACE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("near") => worker("helper"),
        Some("far") => worker("escaped"),
        Some("helper") => helper(),
        Some("escaped") => {
            setsid().context("cannot leave the group")?;
            helper()
        }
        Some(role) => bail!(
            "unknown role {role:?}: expected \"near\", \"far\", \"helper\" or \
             \"escaped\""
        ),
    }
}

fn parent() -> Result<()> {
    adopt_orphans()?;
    flag::register(SIGCHLD, Arc::default())?;
    // ANCHOR: proof
    let mut worker = Worker::start("near")?;
    // Held here, the lifeline is not closed by `wait`, and ends no helper.
    let lifeline = worker.child.stdin.take();
    let end = worker.stop(GRACE)?;
    assert!(end.status.success());
    assert_eq!(end.output, b"bye\n");
    assert!(end.cut.is_none(), "the output is still open");
    assert!(matches!(wait()?, WaitStatus::Signaled(_, SIGKILL, _)));
    println!("worker: {}, helper in its group: {SIGKILL}", end.status);
    drop(lifeline);

    let mut worker = Worker::start("far")?;
    let lifeline = worker.child.stdin.take();
    let end = worker.stop(GRACE)?;
    assert!(end.status.success());
    assert_eq!(end.output, b"bye\n");
    let cut = end.cut.context("the output has come to its end")?;
    assert_eq!(cut.kind(), io::ErrorKind::TimedOut);
    // The helper is a child of this process now, and one that lives.
    let state = waitpid(None, Some(WaitPidFlag::WNOHANG))?;
    assert_eq!(state, WaitStatus::StillAlive);
    println!("worker: {}, helper outside: {state:?}", end.status);
    drop(lifeline);
    assert!(matches!(wait()?, WaitStatus::Exited(_, 0)));
    // ANCHOR_END: proof
    Ok(())
}

// ANCHOR: worker
/// Leaves when it is asked to, and does not care what becomes of its helper.
fn worker(helper: &str) -> Result<()> {
    let mut signals = Signals::new([SIGTERM])?;
    SigSet::all().thread_unblock().context("cannot unblock")?;
    // It inherits this process's input and output, and says "ready".
    let mut helper = Command::new(env::current_exe()?)
        .arg(helper)
        .spawn()
        .context("cannot start the helper")?;
    thread::spawn(move || {
        // It ends at the end of the lifeline, which is that of both.
        let _ = helper.wait();
        process::exit(1);
    });
    signals.forever().next();
    writeln!(io::stdout(), "bye").context("cannot say the last word")
}

fn helper() -> Result<()> {
    flag::register(SIGTERM, Arc::default())?;
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink())
        .context("cannot read standard input")?;
    Ok(())
}
// ANCHOR_END: worker

/// Makes an orphan a child of this process, which can then wait for it.
#[cfg(target_os = "linux")]
fn adopt_orphans() -> Result<()> {
    nix::sys::prctl::set_child_subreaper(true).context("cannot adopt orphans")
}

#[cfg(not(target_os = "linux"))]
fn adopt_orphans() -> Result<()> {
    bail!("this program has to adopt orphans, which only Linux allows it")
}

type Piece = io::Result<Vec<u8>>;

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

impl Worker {
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
// ANCHOR_END: all
