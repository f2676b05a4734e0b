// ANCHOR: all
//! Starts the same worker by spawn, by fork and by a forkserver.

use std::env;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};
use std::process::Command;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

static SETTING: AtomicU32 = AtomicU32::new(1);

fn work(method: &str) -> Result<()> {
    let setting = SETTING.load(Relaxed);
    let mut out = io::stdout();
    writeln!(out, "{method}: the worker sees setting {setting}")
        .context("cannot write")?;
    out.flush().context("cannot write")
}

fn main() -> Result<()> {
    match env::args_os().nth(1) {
        None => parent(),
        Some(role) if role == "worker" => work("spawn"),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

fn parent() -> Result<()> {
    SETTING.store(2, Relaxed);
    let (client, server) = start_server()?;
    SETTING.store(3, Relaxed);
    let worked = start_workers(client);
    // Whatever the workers came to, the server is waited for.
    let served = join(server).context("the server");
    match (worked, served) {
        (Err(error), Err(cause)) => Err(cause.context(format!("{error:#}"))),
        (worked, served) => worked.and(served),
    }
}

// ANCHOR: three_ways
fn start_workers(mut server: UnixStream) -> Result<()> {
    let mut worker = Command::new(env::current_exe()?)
        .arg("worker")
        .spawn()
        .context("cannot spawn the worker")?;
    let status = worker.wait().context("cannot wait for the worker")?;
    ensure!(status.success(), "the spawned worker: {status}");

    join(fork_worker("fork")?).context("the forked worker")?;

    server.write_all(b"w").context("cannot ask the server")?;
    server
        .read_exact(&mut [0])
        .context("the server does not answer")
}
// ANCHOR_END: three_ways

// ANCHOR: join
fn join(child: Pid) -> Result<()> {
    let status = loop {
        match waitpid(child, None) {
            // A signal handler has run meanwhile.
            Err(Errno::EINTR) => {}
            status => break status.context("cannot wait for it")?,
        }
    };
    ensure!(status == WaitStatus::Exited(child, 0), "{status:?}");
    Ok(())
}
// ANCHOR_END: join

// ANCHOR: fork_worker
fn fork_worker(method: &str) -> Result<Pid> {
    // SAFETY: this process has one thread, so its copy may run any code.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => leave(|| work(method)),
    }
}
// ANCHOR_END: fork_worker

// ANCHOR: leave
/// Ends a forked child, which must not return into its copy of the parent.
fn leave(task: impl FnOnce() -> Result<()>) -> ! {
    let code = panic::catch_unwind(AssertUnwindSafe(|| match task() {
        Ok(()) => 0,
        Err(error) => {
            let words = format!("Error: {error:#}\n");
            // `eprintln!` panics if nobody can read it.
            let _ = io::stderr().write_all(words.as_bytes());
            1
        }
    }));
    // SAFETY: _exit ends this process and touches no memory.
    unsafe { libc::_exit(code.unwrap_or(101)) }
}
// ANCHOR_END: leave

// ANCHOR: server
fn start_server() -> Result<(UnixStream, Pid)> {
    let (client, requests) =
        UnixStream::pair().context("cannot make a socket pair")?;
    // SAFETY: this process has one thread, so its copy may run any code.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Parent { child } => Ok((client, child)),
        ForkResult::Child => {
            // With a copy of this end open, the server never finds end of file.
            drop(client);
            leave(|| serve(&requests))
        }
    }
}

fn serve(mut requests: &UnixStream) -> Result<()> {
    for request in BufReader::new(requests).bytes() {
        request.context("cannot read a request")?;
        join(fork_worker("forkserver")?).context("the server's worker")?;
        requests.write_all(b"d").context("cannot answer")?;
    }
    Ok(())
}
// ANCHOR_END: server
// ANCHOR_END: all
