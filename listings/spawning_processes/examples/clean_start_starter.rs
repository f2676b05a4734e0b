// ANCHOR: all
//! Exercise: start a worker that inherits no secret and no blocked signal.

use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{self, Command, ExitStatus};
use std::{env, io};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::Pid;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: task
/// Describes a worker that starts with nothing but PATH in its environment,
/// as the parent has it, and with no signal blocked.
fn clean_worker() -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("worker");
    Ok(command)
}
// ANCHOR_END: task

/// The exit code tells the check what is wrong. Another program's would not
/// be one of these.
fn worker() -> Result<()> {
    let path = env::var_os("PATH");
    let others = env::vars_os().filter(|(name, _)| name != "PATH").count();
    let blocked = SigSet::thread_get_mask()?;
    process::exit(if path != Some(path_of(parent_id()).into()) {
        42
    } else if others > 0 {
        43
    } else if blocked != SigSet::empty() {
        44
    } else {
        45
    })
}

/// The PATH of the process with this number.
fn path_of(parent: u32) -> String {
    format!("/usr/bin:/bin:/opt/{parent}/bin")
}

fn check() -> Result<()> {
    // SAFETY: F_GETFL reads flags.
    let flags = unsafe { libc::fcntl(0, libc::F_GETFL) };
    // Nobody but `status_of` gives its worker an end to write to as input.
    let nested = flags & libc::O_ACCMODE == libc::O_WRONLY;
    ensure!(!nested, "not solved yet: a worker without its role");
    // SAFETY: this process has one thread, so nobody reads meanwhile.
    unsafe {
        env::set_var("SECRET", "open sesame");
        env::set_var("PATH", path_of(process::id()));
    }
    for signals in [
        [Signal::SIGTERM, Signal::SIGUSR1],
        [Signal::SIGHUP, Signal::SIGUSR2],
    ] {
        let mask = SigSet::from_iter(signals);
        mask.thread_set_mask()?;
        let status = status_of(clean_worker()?)?;
        match status.code() {
            Some(42) => bail!("not solved yet: the worker has another PATH"),
            Some(43) => bail!("not solved yet: more than PATH is set"),
            Some(44) => bail!("not solved yet: the worker blocks a signal"),
            Some(45) => {}
            _ => bail!("not solved yet: this was not the worker: {status}"),
        }
        ensure!(
            env::var_os("SECRET").is_some()
                && SigSet::thread_get_mask()? == mask,
            "not solved yet: the parent has lost its secret or its mask"
        );
    }
    println!("solved");
    Ok(())
}

/// Runs the worker as a process group of its own, for ten seconds at most.
fn status_of(mut command: Command) -> Result<ExitStatus> {
    let (all_ended, holder) = io::pipe()?;
    // Nobody reads or writes: each process of the group keeps the pipe open.
    command.process_group(0).stdin(holder);
    let mut worker = command.spawn().context("cannot start the worker")?;
    drop(command);
    let mut hang_up = [PollFd::new(all_ended.as_fd(), PollFlags::empty())];
    let hangs = poll(&mut hang_up, PollTimeout::from(10_000_u16)) == Ok(0);
    if hangs {
        killpg(Pid::from_raw(worker.id().try_into()?), Signal::SIGKILL)?;
    }
    let status = worker.wait().context("cannot wait for the worker")?;
    ensure!(!hangs, "not solved yet: the worker hangs");
    Ok(status)
}
// ANCHOR_END: all
