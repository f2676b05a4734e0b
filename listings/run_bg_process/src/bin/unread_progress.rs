// ANCHOR: all
//! Proves that a background process stops when nobody reads its reports.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const REPORTS: usize = 128;
const REPORT: [u8; 4096] = [b'.'; 4096];

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("reporter") => reporter(),
        Some(role) => bail!("unknown role {role:?}: expected \"reporter\""),
    }
}

// ANCHOR: reporter
/// Writes reports, and after each one a mark.
fn reporter() -> Result<()> {
    for _ in 0..REPORTS {
        io::stdout().write_all(&REPORT)?;
        io::stdout().flush()?;
        io::stderr().write_all(b"+")?;
    }
    Ok(())
}
// ANCHOR_END: reporter

// ANCHOR: proof
fn watch(reporter: &mut Child) -> Result<()> {
    let mut reports = reporter.stdout.take().context("no reports")?;
    let mut marks = reporter.stderr.take().context("no marks")?;

    // As many as the pipe holds: it is full now.
    let room = size(&reports)? / REPORT.len();
    assert!(room < REPORTS);
    marks.read_exact(&mut vec![0; room])?;
    await_sleep(reporter.id())?;
    assert_eq!(unread(&reports)?, size(&reports)?, "the pipe is full");
    assert!(!readable(&marks)?);

    // Each report that is read lets the reporter write one more.
    for _ in room..REPORTS {
        reports.read_exact(&mut [0; REPORT.len()])?;
        marks.read_exact(&mut [0])?;
        assert!(!readable(&marks)?);
    }
    io::copy(&mut reports, &mut io::sink())?;
    Ok(())
}
// ANCHOR_END: proof

fn parent() -> Result<()> {
    let mut reporter = start_reporter()?;
    let watched = watch(&mut reporter);
    let status = reporter.wait().context("cannot wait for the reporter")?;
    watched?;
    assert!(status.success());
    println!("unread, the reporter stopped; read, it finished");
    Ok(())
}

fn start_reporter() -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("reporter")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the reporter")
}

fn readable(pipe: &ChildStderr) -> Result<bool> {
    let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO)?;
    let events = fds[0].revents().context("an unknown event")?;
    Ok(events.contains(PollFlags::POLLIN))
}

/// How many bytes are in the pipe.
fn unread(pipe: &ChildStdout) -> Result<usize> {
    // nix has no such call.
    Ok(rustix::io::ioctl_fionread(pipe)?.try_into()?)
}

/// How many bytes the pipe has room for.
#[cfg(target_os = "linux")]
fn size(pipe: &ChildStdout) -> Result<usize> {
    use nix::fcntl::{FcntlArg, fcntl};
    let size = fcntl(pipe, FcntlArg::F_GETPIPE_SZ)?;
    Ok(size.try_into()?)
}

/// Waits until the process waits for something.
#[cfg(target_os = "linux")]
fn await_sleep(pid: u32) -> Result<()> {
    let file = format!("/proc/{pid}/stat");
    loop {
        let stat = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {file}"))?;
        // The state follows the name, which stands in parentheses.
        let (_, state) = stat.rsplit_once(") ").context("no state")?;
        if state.starts_with('S') {
            return Ok(());
        }
        ensure!(!state.starts_with('Z'), "the reporter has ended");
        thread::yield_now();
    }
}

#[cfg(not(target_os = "linux"))]
fn size(_: &ChildStdout) -> Result<usize> {
    bail!("this program needs Linux, which tells how much a pipe holds")
}

#[cfg(not(target_os = "linux"))]
fn await_sleep(_: u32) -> Result<()> {
    bail!("this program needs Linux: it uses /proc")
}
// ANCHOR_END: all
