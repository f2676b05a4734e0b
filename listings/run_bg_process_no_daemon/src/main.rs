// ANCHOR: all
//! Starts a worker that goes on after the program that started it has ended.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{self, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::setsid;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let role = args.next();
    let mut socket = || args.next().context("the socket's path is missing");
    match role.as_deref() {
        None => observer(),
        Some("main") => main_program(&socket()?),
        Some("worker") => worker(&socket()?),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"main\" or \"worker\"")
        }
    }
}

fn main_program(socket: &str) -> Result<()> {
    let mut worker = Command::new(env::current_exe()?);
    worker.args(["worker", socket]);
    // ANCHOR: ties
    worker.stdin(Stdio::null());
    worker.stdout(Stdio::null());
    worker.stderr(Stdio::null());
    // SAFETY: between fork and exec only the system call setsid runs.
    unsafe { worker.pre_exec(|| Ok(setsid().map(drop)?)) };
    // ANCHOR_END: ties
    // Nobody waits for the worker here: it outlives this program.
    drop(worker.spawn().context("cannot start the worker")?);
    println!("main: started a worker");
    Ok(())
}

// ANCHOR: worker
fn worker(socket: &str) -> Result<()> {
    let observer = UnixStream::connect(socket)
        .with_context(|| format!("cannot connect to {socket}"))?;
    for question in BufReader::new(&observer).lines() {
        question?;
        writeln!(&observer, "{}", parent_id())?;
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
    let dir = tempfile::tempdir().context("cannot make a directory")?;
    let socket = dir.path().join("socket");
    let listener = UnixListener::bind(&socket)
        .with_context(|| format!("cannot bind {}", socket.display()))?;

    let main = Command::new(env::current_exe()?)
        .arg("main")
        .arg(&socket)
        .status()
        .context("cannot run main")?;
    println!("main: ended, {main}");

    let worker = accept(&listener)?;
    writeln!(&worker, "who is your parent?")?;
    let mut answer = String::new();
    BufReader::new(&worker).read_line(&mut answer)?;
    println!("worker: alive: {}", !answer.is_empty());
    let adopted = answer.trim() == process::id().to_string();
    println!("worker: adopted by the observer: {adopted}");

    // The worker asks no more than that: when we hang up, it ends.
    drop(worker);
    if adopted {
        let status = wait().context("cannot wait for the worker")?;
        let WaitStatus::Exited(_, code) = status else {
            bail!("the worker did not exit: {status:?}");
        };
        println!("worker: ended, exit status: {code}");
    }
    Ok(())
}

// ANCHOR: accept
/// The worker may die on its way here, or say nothing: no wait is endless.
fn accept(listener: &UnixListener) -> Result<UnixStream> {
    let mut caller = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    let callers = poll(&mut caller, 10_000_u16)?;
    ensure!(callers == 1, "the worker did not call within 10 s");
    let worker = listener.accept()?.0;
    worker.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(worker)
}
// ANCHOR_END: accept
// ANCHOR_END: all
