// ANCHOR: all
//! Proves that a background process stops when nobody reads its reports.

use std::env;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
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

fn reporter() -> Result<()> {
    for _ in 0..REPORTS {
        io::stdout().write_all(&REPORT)?;
        io::stdout().flush()?;
        io::stderr().write_all(b"+")?;
    }
    Ok(())
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let mut reporter = start_reporter()?;
    let mut reports = reporter.stdout.take().context("no reports")?;
    let mut steps = reporter.stderr.take().context("no steps")?;

    let mut before = 0;
    // Goes on until a step takes longer than 200 ms.
    while readable(&steps, 200)? {
        match steps.read(&mut [0; 64])? {
            0 => break,
            count => before += count,
        }
    }
    assert!(before < REPORTS);
    assert!(reporter.try_wait()?.is_none());

    io::copy(&mut reports, &mut io::sink())?;
    let after = io::read_to_string(steps)?.len();
    assert_eq!(before + after, REPORTS);
    assert!(reporter.wait()?.success());
    println!("unread, the reporter stopped; read, it finished");
    Ok(())
}
// ANCHOR_END: proof

fn start_reporter() -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("reporter")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the reporter")
}

fn readable(pipe: impl AsFd, limit_ms: u16) -> Result<bool> {
    let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut fds, PollTimeout::from(limit_ms))? > 0)
}
// ANCHOR_END: all
