// ANCHOR: all
//! Starts a service with no tie to its starter, and allows only one of it.

use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, io, process};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, alarm, dup2_stdout, getpid, getsid, setsid};
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let role = args.next();
    let mut dir = || {
        let dir = args.next().context("the service's directory is missing")?;
        anyhow::Ok(PathBuf::from(dir))
    };
    match role.as_deref() {
        None => observer(),
        Some("main") => main_program(&dir()?),
        Some("launcher") => launcher(&dir()?),
        Some("service") => service(&dir()?),
        Some(role) => bail!(
            "unknown role {role:?}: \
             expected \"main\", \"launcher\" or \"service\""
        ),
    }
}

// ANCHOR: main_program
fn main_program(dir: &Path) -> Result<()> {
    let launched = Command::new(env::current_exe()?)
        .arg("launcher")
        // In another directory a relative path would name another place.
        .arg(dir.canonicalize()?)
        .current_dir("/")
        .stdin(Stdio::null())
        .status()
        .context("cannot run the launcher")?;
    if !launched.success() {
        println!("main: the service did not start, see its log");
        process::exit(1);
    }
    println!("main: the service is ready");
    Ok(())
}
// ANCHOR_END: main_program

// ANCHOR: launcher
/// Leads the new session only until the service is ready.
fn launcher(dir: &Path) -> Result<()> {
    setsid().context("cannot leave the session")?;
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    let log = File::options()
        .create(true)
        .append(true)
        .open(dir.join("service.log"))
        .context("cannot open the log")?;
    let mut service = Command::new(env::current_exe()?)
        .arg("service")
        .arg(dir)
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .context("cannot start the service")?;
    let output = service.stdout.take().context("no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    if line != "ready\n" {
        service.wait()?;
        process::exit(1);
    }
    Ok(())
}
// ANCHOR_END: launcher

// ANCHOR: service
fn service(dir: &Path) -> Result<()> {
    // Only because this is a demonstration: whatever happens, it ends.
    alarm::set(30);
    // Not truncated here: it may be the file of a service that runs.
    let mut pid_file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join("service.pid"))
        .context("cannot open the PID file")?;
    match pid_file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            eprintln!("service: another one is running");
            process::exit(1);
        }
        locked => locked.context("cannot lock the PID file")?,
    }
    pid_file.set_len(0)?;
    writeln!(pid_file, "{}", getpid())?;
    let mut signals = Signals::new([SIGTERM])?;
    report(&pid_file)?;

    println!("ready");
    // From now on what the service prints goes to the log as well.
    dup2_stdout(io::stderr().as_fd())?;
    for _ in signals.forever().take(1) {
        println!("service: asked to stop");
    }
    Ok(())
}
// ANCHOR_END: service

fn report(pid_file: &File) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let cwd = env::current_dir()?;
    let mode = pid_file.metadata()?.mode() & 0o777;
    let leads = getsid(None)? == getpid();
    eprintln!("service: works in {}", cwd.display());
    eprintln!("service: creates files with mode {mode:o}");
    eprintln!("service: leads its session: {leads}");
    Ok(())
}

// ANCHOR: observer
fn observer() -> Result<()> {
    adopt_orphans()?;
    let dir = tempfile::tempdir().context("cannot make a directory")?;
    for expected in [0, 1] {
        let main = Command::new(env::current_exe()?)
            .arg("main")
            .arg(dir.path())
            .status()
            .context("cannot run main")?;
        ensure!(main.code() == Some(expected), "main ended with {main}");
    }

    let pid = fs::read_to_string(dir.path().join("service.pid"))
        .context("cannot read the PID file")?;
    let pid = Pid::from_raw(pid.trim().parse()?);
    let state = waitpid(pid, Some(WaitPidFlag::WNOHANG))?;
    ensure!(state == WaitStatus::StillAlive, "the service: {state:?}");
    println!("observer: main has ended, the service runs");
    kill(pid, Signal::SIGTERM).context("cannot send SIGTERM")?;
    let WaitStatus::Exited(_, code) = waitpid(pid, None)? else {
        bail!("the service was killed by a signal");
    };
    println!("observer: the service ended, exit status: {code}");
    let log = fs::read_to_string(dir.path().join("service.log"))?;
    print!("{log}");
    Ok(())
}
// ANCHOR_END: observer

fn adopt_orphans() -> Result<()> {
    if cfg!(not(target_os = "linux")) {
        bail!("this program adopts orphans, which takes Linux");
    }
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    Ok(())
}
// ANCHOR_END: all
