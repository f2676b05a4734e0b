// ANCHOR: all
//! Starts a service with no tie to its starter, and allows only one of it.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{self, SigHandler, SigSet, Signal, kill, killpg};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, wait, waitpid};
use nix::unistd::{Pid, dup2_stderr, dup2_stdout, getpid, getsid, setsid};
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

/// How long a service may take to get ready.
const READY_WITHIN: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    reset_signals().context("cannot reset the signals")?;
    let mut args = env::args_os().skip(1);
    let role = args.next();
    let mut dir = || {
        let dir = args.next().context("the service's directory is missing")?;
        anyhow::Ok(PathBuf::from(dir))
    };
    match role {
        None => observer(),
        Some(role) if role == "main" => main_program(&dir()?),
        Some(role) if role == "launcher" => launcher(&dir()?),
        Some(role) if role == "service" => service(&dir()?),
        Some(role) => bail!(
            "unknown role {role:?}: \
             expected \"main\", \"launcher\" or \"service\""
        ),
    }
}

// ANCHOR: signals
/// Our starter may have blocked or ignored what we rely on.
fn reset_signals() -> nix::Result<()> {
    SigSet::empty().thread_set_mask()?;
    // SAFETY: none of these runs code of this process.
    unsafe {
        signal::signal(Signal::SIGTERM, SigHandler::SigDfl)?;
        signal::signal(Signal::SIGCHLD, SigHandler::SigDfl)?;
        // A file that may not grow shall be an error, and not a death.
        signal::signal(Signal::SIGXFSZ, SigHandler::SigIgn)?;
    }
    Ok(())
}
// ANCHOR_END: signals

// ANCHOR: main_program
fn main_program(dir: &Path) -> Result<()> {
    // In another directory a relative path would name another place.
    let dir = dir.canonicalize().context("cannot find the directory")?;
    let mut launcher = Command::new(env::current_exe()?)
        .arg("launcher")
        .arg(dir)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the launcher")?;
    let report = launcher.stdout.take().context("no output")?;
    let started = until_ready(report);
    if started.is_err() {
        // What is left of the start is the launcher and its group.
        let _ = launcher.kill();
        let group = Pid::from_raw(launcher.id().try_into()?);
        let _ = killpg(group, Signal::SIGKILL);
    }
    launcher.wait().context("cannot wait for the launcher")?;
    started?;
    // The service runs, also where nobody can read this line.
    let _ = writeln!(io::stdout(), "main: the service is ready");
    Ok(())
}

/// The service says "ready", or closes its output by its end.
fn until_ready(report: ChildStdout) -> Result<()> {
    let deadline = Instant::now().checked_add(READY_WITHIN);
    loop {
        let left = poll_time(deadline);
        let mut ends = [PollFd::new(report.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ends, left) {
            Err(Errno::EINTR) => {} // a signal came: wait on
            Ok(0) if left == PollTimeout::MAX => {} // and for longer
            Ok(0) => bail!("the service was not ready in {READY_WITHIN:?}"),
            Ok(_) => break,
            Err(error) => bail!("cannot wait for the service: {error}"),
        }
    }
    let mut line = String::new();
    BufReader::new(report).read_line(&mut line)?;
    ensure!(line == "ready\n", "the service did not start");
    Ok(())
}

/// What is left, rounded up to milliseconds, or the longest time there is.
fn poll_time(deadline: Option<Instant>) -> PollTimeout {
    let left = deadline.map_or(Duration::MAX, |deadline| {
        deadline.saturating_duration_since(Instant::now())
    });
    let left = left.as_nanos().div_ceil(1_000_000);
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}
// ANCHOR_END: main_program

// ANCHOR: launcher
/// Leads the new session until it has started the service, and ends.
fn launcher(dir: &Path) -> Result<()> {
    setsid().context("cannot leave the session")?;
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    close_on_exec().context("cannot mark what is open")?;
    let service = Command::new(env::current_exe()?)
        .arg("service")
        .arg(dir)
        .spawn()
        .context("cannot start the service")?;
    drop(service); // goes on without us
    Ok(())
}

/// Of what main has inherited open, nothing shall stay open in the service.
fn close_on_exec() -> Result<()> {
    for entry in fs::read_dir("/dev/fd")? {
        let name = entry?.file_name();
        let number = name.to_str().context("no number")?.parse()?;
        if number > 2 {
            // SAFETY: it is open, and there is no other thread to close it.
            let open = unsafe { BorrowedFd::borrow_raw(number) };
            fcntl(open, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        }
    }
    Ok(())
}
// ANCHOR_END: launcher

// ANCHOR: service
fn service(dir: &Path) -> Result<()> {
    // Not truncated here: it may be the file of a service that runs.
    let mut pid_file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join("service.pid"))
        .context("cannot open the PID file")?;
    match pid_file.try_lock() {
        Err(TryLockError::WouldBlock) => bail!("another service is running"),
        locked => locked.context("cannot lock the PID file")?,
    }
    pid_file.set_len(0).context("cannot empty the PID file")?;
    writeln!(pid_file, "{}", getpid()).context("cannot write the PID file")?;
    let mut signals = Signals::new([SIGTERM])?;
    let log = File::options()
        .create(true)
        .append(true)
        .open(dir.join("service.log"))
        .context("cannot open the log")?;

    // Until here errors went to main's standard error. Now the log takes over.
    let mut main = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    dup2_stdout(&log)?;
    dup2_stderr(&log)?;
    describe(&pid_file)?;
    main.write_all(b"ready\n").context("main is gone")?;
    drop(main);
    for _ in signals.forever().take(1) {
        log_line("asked to stop");
    }
    Ok(())
}

/// On a full disk the line is lost, and the service goes on.
fn log_line(line: &str) {
    let _ = writeln!(io::stderr(), "service: {line}");
}
// ANCHOR_END: service

fn describe(pid_file: &File) -> Result<()> {
    let cwd = env::current_dir()?;
    let mode = pid_file.metadata()?.mode() & 0o777;
    let leads = getsid(None)? == getpid();
    log_line(&format!("works in {}", cwd.display()));
    log_line(&format!("creates files with mode {mode:o}"));
    log_line(&format!("leads its session: {leads}"));
    Ok(())
}

// ANCHOR: observer
fn observer() -> Result<()> {
    adopt_orphans()?;
    let dir = tempfile::tempdir().context("cannot make a directory")?;
    let first = run_main(dir.path())?;
    let (second, stopped) = match first.status.success() {
        // Whatever becomes of the second, the first service has to stop.
        true => (run_main(dir.path()), stop_service(dir.path())),
        false => (Ok(first), Err(anyhow!("no service to stop"))),
    };
    let second = second?;
    ensure!(!second.status.success(), "a second service runs");
    while wait() != Err(Errno::ECHILD) {} // the one that did not start
    let errors = String::from_utf8_lossy(&second.stderr).into_owned();
    ensure!(
        errors.contains("another service is running"),
        "main: {errors}"
    );
    let code = stopped?;

    let mut out = io::stdout();
    write!(out, "{errors}")?;
    writeln!(out, "observer: main has ended, the service runs")?;
    writeln!(out, "observer: the service ended, exit status: {code}")?;
    let log = fs::read(dir.path().join("service.log"))?;
    out.write_all(&log).context("cannot show the log")
}

fn run_main(dir: &Path) -> Result<Output> {
    let main = Command::new(env::current_exe()?)
        .arg("main")
        .arg(dir)
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start main")?;
    main.wait_with_output().context("cannot wait for main")
}

fn stop_service(dir: &Path) -> Result<i32> {
    let pid = fs::read_to_string(dir.join("service.pid"))
        .context("cannot read the PID file")?;
    let pid = Pid::from_raw(pid.trim().parse()?);
    let state = waitpid(pid, Some(WaitPidFlag::WNOHANG))?;
    ensure!(state == WaitStatus::StillAlive, "the service: {state:?}");
    kill(pid, Signal::SIGTERM).context("cannot send SIGTERM")?;
    loop {
        match waitpid(pid, None) {
            Err(Errno::EINTR) => {} // here as well
            Ok(WaitStatus::Exited(_, code)) => return Ok(code),
            end => bail!("the service did not exit: {end:?}"),
        }
    }
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
