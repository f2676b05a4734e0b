// ANCHOR: all
//! Closes a terminal over four workers, of which one is in the foreground.

use std::collections::HashMap;
use std::env;
use std::io::{self, BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::openpty;
use nix::sys::signal::{self, SigHandler, SigSet, Signal, kill};
use nix::sys::wait::WaitStatus::{Exited, Signaled};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, alarm, getpid, getsid, pause, setsid};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => observer(),
        // Its standard error leads to the terminal, where nobody looks.
        Some("shell") => shell().inspect_err(|it| println!("failed {it:#}")),
        Some("foreground") => worker("foreground"),
        Some("background") => worker("background"),
        Some("stopped") => live(), // the shell says its name
        Some("detached") => {
            setsid().context("cannot leave the session")?;
            worker("detached")
        }
        Some(role) => bail!(
            "unknown role {role:?}: expected \"shell\", \
             \"foreground\", \"background\", \"stopped\" or \"detached\""
        ),
    }
}

fn observer() -> Result<()> {
    adopt_orphans()?;
    let terminal = openpty(None, None).context("cannot open a terminal")?;
    // A child that held the master would keep the terminal open.
    fcntl(&terminal.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    let mut shell = start_shell(terminal.slave)?;
    let leash = shell.stdin.take();
    let output = shell.stdout.take().context("the shell has no output")?;
    let mut names = BufReader::new(output).lines();
    let mut pids = HashMap::new();
    while pids.len() < 4 {
        let line = names.next().context("a worker is missing")??;
        let (name, pid) = line.split_once(' ').context("no PID")?;
        ensure!(name != "failed", "the shell failed: {pid}");
        pids.insert(name.to_owned(), Pid::from_raw(pid.parse()?));
    }

    // ANCHOR: proof
    let leader = Pid::from_raw(shell.id().try_into()?);
    assert_eq!(getsid(Some(pids["background"]))?, leader);

    drop(terminal.master); // the window closes
    let hang_up = Some(Signal::SIGHUP as i32);
    assert_eq!(shell.wait()?.signal(), hang_up);
    for name in ["foreground", "stopped"] {
        let end = waitpid(pids[name], None)?;
        assert!(matches!(end, Signaled(_, Signal::SIGHUP, _)));
    }

    // The others live, until there is nothing more to read.
    drop(leash);
    for name in ["background", "detached"] {
        assert_eq!(waitpid(pids[name], None)?, Exited(pids[name], 0));
    }
    // ANCHOR_END: proof
    println!("foreground group: ended by SIGHUP");
    println!("background group, stopped: ended by SIGHUP");
    println!("background group, running: lives on");
    println!("another session: lives on");
    Ok(())
}

fn start_shell(terminal: OwnedFd) -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("shell")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(terminal)
        .spawn()
        .context("cannot start the shell")
}

// ANCHOR: shell
/// Leads the terminal's session, as a shell does, and starts the workers.
fn shell() -> Result<()> {
    setsid().context("cannot start a session")?;
    // From now on this is the terminal of our session.
    rustix::process::ioctl_tiocsctty(io::stderr())
        .context("standard error is no terminal")?;
    worker_command("foreground")?.spawn()?;
    worker_command("background")?.process_group(0).spawn()?;
    worker_command("detached")?.spawn()?; // calls setsid itself
    let stopped = worker_command("stopped")?.process_group(0).spawn()?;
    let stopped = Pid::from_raw(stopped.id().try_into()?);
    kill(stopped, Signal::SIGSTOP)?;
    waitpid(stopped, Some(WaitPidFlag::WUNTRACED))?;
    println!("stopped {stopped}"); // and only now
    // Sleep until a signal comes: SIGHUP, or the alarm's if it does not.
    alarm::set(10);
    pause();
    Ok(())
}
// ANCHOR_END: shell

fn worker_command(role: &str) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(role);
    Ok(command)
}

fn worker(name: &str) -> Result<()> {
    println!("{name} {}", getpid());
    live()
}

/// Ends with its input.
fn live() -> Result<()> {
    alarm::set(10); // as in the shell
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn adopt_orphans() -> Result<()> {
    if cfg!(not(target_os = "linux")) {
        bail!("this program adopts orphans, which takes Linux");
    }
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    // Our starter may have ignored or blocked what this is about.
    SigSet::empty().thread_set_mask()?;
    for signal in [Signal::SIGCHLD, Signal::SIGHUP] {
        // SAFETY: the default action runs no code of this process.
        unsafe { signal::signal(signal, SigHandler::SigDfl) }?;
    }
    Ok(())
}
// ANCHOR_END: all
