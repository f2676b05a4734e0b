// ANCHOR: all
//! Closes a terminal over two workers, of which one has left the session.

use std::collections::HashMap;
use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::openpty;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, alarm, getpid, getsid, pause, setsid};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => observer(),
        Some("shell") => shell(),
        Some("plain") => worker("plain"),
        Some("detached") => {
            setsid().context("cannot leave the session")?;
            worker("detached")
        }
        Some(role) => bail!(
            "unknown role {role:?}: \
             expected \"shell\", \"plain\" or \"detached\""
        ),
    }
}

fn observer() -> Result<()> {
    adopt_orphans()?;
    let terminal = openpty(None, None).context("cannot open a terminal")?;
    // A child that held the master would keep the terminal open.
    fcntl(&terminal.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    let mut shell = start_shell(terminal.slave)?;
    let mut questions = shell.stdin.take().context("the shell has no input")?;
    let output = shell.stdout.take().context("the shell has no output")?;
    let mut answers = BufReader::new(output).lines();
    let mut pids = HashMap::new();
    while pids.len() < 2 {
        let line = answers.next().context("a worker is missing")??;
        let (name, pid) = line.split_once(' ').context("no PID")?;
        pids.insert(name.to_owned(), Pid::from_raw(pid.parse()?));
    }

    // ANCHOR: proof
    drop(terminal.master); // the window closes
    shell.wait()?;
    let (plain, detached) = (pids["plain"], pids["detached"]);
    let hung_up = WaitStatus::Signaled(plain, Signal::SIGHUP, false);
    assert_eq!(waitpid(plain, None)?, hung_up);

    writeln!(questions, "still there?")?;
    let answer = answers.next().context("nobody answers")??;
    assert_eq!(answer, format!("detached {detached}"));
    // ANCHOR_END: proof
    println!("plain worker: ended by SIGHUP");
    println!("detached worker: still answers");
    drop(questions);
    waitpid(detached, None)?;
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
/// Leads the terminal's session, as a shell does, and starts both workers.
fn shell() -> Result<()> {
    setsid().context("cannot start a session")?;
    rustix::process::ioctl_tiocsctty(io::stderr())
        .context("standard error is no terminal")?;
    start_worker("plain")?;
    start_worker("detached")?;
    alarm::set(10); // another signal, should the hang-up not come
    // Waiting for the workers would take their status from the observer.
    pause();
    Ok(())
}
// ANCHOR_END: shell

fn start_worker(role: &str) -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg(role)
        .spawn()
        .with_context(|| format!("cannot start the {role} worker"))
}

/// Says its name and PID, and says it again for each line that it reads.
fn worker(name: &str) -> Result<()> {
    let leads = getsid(None)? == getpid();
    ensure!(
        leads == (name == "detached"),
        "{name}: leads a session: {leads}"
    );
    alarm::set(10); // as in the shell
    println!("{name} {}", getpid());
    for question in io::stdin().lines() {
        question?;
        println!("{name} {}", getpid());
    }
    Ok(())
}

fn adopt_orphans() -> Result<()> {
    if cfg!(not(target_os = "linux")) {
        bail!("this program adopts orphans, which takes Linux");
    }
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    Ok(())
}
// ANCHOR_END: all
