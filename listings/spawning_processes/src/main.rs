// ANCHOR: all
//! Starts the same worker by spawn, by fork and by a forkserver.

use std::env;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

// ANCHOR: setting
static SETTING: AtomicU32 = AtomicU32::new(1);

fn work(method: &str) -> Result<()> {
    let setting = SETTING.load(Relaxed);
    println!("{method}: the worker sees setting {setting}");
    Ok(())
}
// ANCHOR_END: setting

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => work("spawn"),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

fn parent() -> Result<()> {
    SETTING.store(2, Relaxed);
    let (mut server, server_pid) = start_server()?;
    SETTING.store(3, Relaxed);

    // ANCHOR: spawn
    let status = Command::new(env::current_exe()?)
        .arg("worker")
        .status()
        .context("cannot spawn the worker")?;
    ensure!(status.success(), "the spawned worker: {status}");
    // ANCHOR_END: spawn

    join(fork_worker("fork")?)?;

    // ANCHOR: ask
    server.write_all(b"w").context("cannot ask the server")?;
    server
        .read_exact(&mut [0])
        .context("the server does not answer")?;
    drop(server);
    join(server_pid)
    // ANCHOR_END: ask
}

fn join(child: Pid) -> Result<()> {
    let status = waitpid(child, None)?;
    ensure!(status == WaitStatus::Exited(child, 0), "{status:?}");
    Ok(())
}

// ANCHOR: fork_worker
fn fork_worker(method: &str) -> Result<Pid> {
    // SAFETY: this process has one thread, so its copy may run any code.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => leave(work(method)),
    }
}
// ANCHOR_END: fork_worker

// ANCHOR: leave
/// Ends a forked child, which must not return into the copy of `parent`.
fn leave(result: Result<()>) -> ! {
    if let Err(error) = &result {
        eprintln!("Error: {error:#}");
    }
    // SAFETY: _exit ends this process and touches no memory.
    unsafe { libc::_exit(result.is_err().into()) }
}
// ANCHOR_END: leave

// ANCHOR: server
fn start_server() -> Result<(UnixStream, Pid)> {
    let (client, requests) = UnixStream::pair()?;
    // SAFETY: this process has one thread, so its copy may run any code.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Parent { child } => Ok((client, child)),
        ForkResult::Child => {
            // With a copy of this end open, `read` never finds end of file.
            drop(client);
            leave(serve(requests))
        }
    }
}

fn serve(mut requests: UnixStream) -> Result<()> {
    while requests.read(&mut [0])? == 1 {
        join(fork_worker("forkserver")?)?;
        requests.write_all(b"d")?;
    }
    Ok(())
}
// ANCHOR_END: server
// ANCHOR_END: all
