// ANCHOR: all
//! Proves where a progress bar is drawn: in a terminal, and nowhere else.

use std::env;
use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use indicatif::ProgressBar;
use nix::pty::openpty;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let terminal = openpty(None, None)?;
    let child = start(terminal.slave.into())?;
    let drawn = read_all(terminal.master.into())?;
    succeed(child)?;
    assert!(drawn.contains("20/20"), "drawn: {drawn:?}");

    let output = start(Stdio::piped())?.wait_with_output()?;
    assert!(output.status.success(), "it has come to its end");
    assert_eq!(output.stderr, b"");
    println!("in a terminal up to 20/20, in a pipe nothing");
    Ok(())
}

fn worker() -> Result<()> {
    let progress = ProgressBar::new(20);
    for _ in 0..20 {
        progress.inc(1);
    }
    progress.finish();
    Ok(())
}
// ANCHOR_END: proof

fn start(errors: Stdio) -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("worker")
        .env("TERM", "xterm")
        .stderr(errors)
        .spawn()
        .context("cannot start the worker")
}

/// All that was drawn. Linux ends a terminal that nobody holds with `EIO`.
fn read_all(mut terminal: File) -> Result<String> {
    let mut drawn = Vec::new();
    if let Err(error) = terminal.read_to_end(&mut drawn) {
        let ended = error.raw_os_error() == Some(libc::EIO);
        ensure!(ended, "cannot read the terminal: {error}");
    }
    Ok(String::from_utf8(drawn)?)
}

fn succeed(mut child: Child) -> Result<()> {
    let status = child.wait()?;
    ensure!(status.success(), "the worker ended with {status}");
    Ok(())
}
// ANCHOR_END: all
