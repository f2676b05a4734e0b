// ANCHOR: all
//! Starts a worker that goes on after the program that started it has ended.

use std::env;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{self, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::setsid;

/// How long the worker may take to call, and to answer.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let mut args = env::args_os().skip(1);
    let role = args.next();
    let mut socket = || args.next().context("the socket's path is missing");
    match role {
        None => observer(),
        Some(role) if role == "main" => main_program(&socket()?),
        Some(role) if role == "worker" => worker(&socket()?),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"main\" or \"worker\"")
        }
    }
}

// ANCHOR: main_program
fn main_program(socket: &OsStr) -> Result<()> {
    let mut worker = Command::new(env::current_exe()?);
    worker.arg("worker").arg(socket);
    worker.stdin(Stdio::null());
    worker.stdout(Stdio::null());
    worker.stderr(Stdio::null());
    // SAFETY: between fork and exec only the system call setsid runs.
    unsafe { worker.pre_exec(|| Ok(setsid().map(drop)?)) };
    // Nobody waits for the worker here: it outlives this program.
    drop(worker.spawn().context("cannot start the worker")?);
    // The worker runs, also where nobody can read this line.
    let _ = writeln!(io::stdout(), "main: started a worker");
    Ok(())
}
// ANCHOR_END: main_program

// ANCHOR: worker
fn worker(socket: &OsStr) -> Result<()> {
    let mut observer = UnixStream::connect(socket)
        .with_context(|| format!("cannot connect to {}", socket.display()))?;
    for question in BufReader::new(observer.try_clone()?).lines() {
        question?;
        // One string, one write: no half of an answer is ever on its way.
        observer.write_all(format!("{}\n", parent_id()).as_bytes())?;
    }
    Ok(())
}
// ANCHOR_END: worker

fn observer() -> Result<()> {
    // ANCHOR: adopt
    // Elsewhere this program leaves its orphan to process 1.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)
        .context("cannot become a subreaper")?;
    // ANCHOR_END: adopt
    // If our starter ignored SIGCHLD, nobody could be waited for.
    // SAFETY: the default action runs no code of this process.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    let dir = tempfile::tempdir().context("cannot make a directory")?;
    let socket = dir.path().join("socket");
    let listener = UnixListener::bind(&socket)
        .with_context(|| format!("cannot bind {}", socket.display()))?;

    let mut main = Command::new(env::current_exe()?)
        .arg("main")
        .arg(&socket)
        .spawn()
        .context("cannot start main")?;
    let main = main.wait().context("cannot wait for main")?;
    ensure!(main.success(), "main ended, {main}");
    let answer = ask(&listener, "who is your parent?")?;
    let adopted = answer.trim() == process::id().to_string();
    // The worker asks no more than that: we have hung up, and it ends.
    let mut end = adopted.then(wait);
    while end == Some(Err(Errno::EINTR)) {
        end = Some(wait()); // a signal came: wait on
    }
    let end = end.transpose().context("cannot wait for the worker")?;

    let mut out = io::stdout();
    writeln!(out, "main: ended, {main}")?;
    writeln!(out, "worker: alive: {}", !answer.is_empty())?;
    writeln!(out, "worker: adopted by the observer: {adopted}")?;
    match end {
        None => Ok(()),
        Some(WaitStatus::Exited(_, code)) => {
            writeln!(out, "worker: ended, exit status: {code}")?;
            Ok(())
        }
        Some(end) => bail!("the worker did not exit: {end:?}"),
    }
}

// ANCHOR: ask
/// The worker may die on its way here, or say nothing: no wait is endless.
fn ask(listener: &UnixListener, question: &str) -> Result<String> {
    wait_for(listener).context("the worker does not call")?;
    let mut worker = listener.accept()?.0;
    writeln!(worker, "{question}")?;
    wait_for(&worker).context("the worker does not answer")?;
    let mut answer = String::new();
    BufReader::new(worker).read_line(&mut answer)?;
    Ok(answer)
}

/// Waits until `socket` has something for us, as long as our patience lasts.
fn wait_for(socket: &impl AsFd) -> Result<()> {
    let deadline = Instant::now().checked_add(PATIENCE);
    loop {
        let left = poll_time(deadline);
        let mut news = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut news, left) {
            Err(Errno::EINTR) => {} // a signal came: wait on
            Ok(0) if left == PollTimeout::MAX => {} // and for longer
            Ok(0) => bail!("nothing came within {PATIENCE:?}"),
            polled => return Ok(polled.map(drop)?),
        }
    }
}

/// What is left, rounded up to milliseconds, or the longest time there is.
fn poll_time(deadline: Option<Instant>) -> PollTimeout {
    let left = deadline.map_or(Duration::MAX, |deadline| {
        deadline.saturating_duration_since(Instant::now())
    });
    let left = left.as_nanos().div_ceil(1_000_000);
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}
// ANCHOR_END: ask
// ANCHOR_END: all
