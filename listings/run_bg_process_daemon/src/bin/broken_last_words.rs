// ANCHOR: all
//! Takes a daemon's reader away before its watcher says its last words.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::process::{self, Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::alarm;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => parent(),
        Some("daemon") => match args.next().as_deref() {
            Some("println") => daemon(end_with_println),
            Some("writeln") => daemon(end_with_writeln),
            _ => bail!("the way to say it is missing: println or writeln"),
        },
        Some(role) => bail!("unknown role {role:?}: expected \"daemon\""),
    }
}

fn parent() -> Result<()> {
    // ANCHOR: proof
    let (mut daemon, end) = start_daemon("println")?;
    drop(daemon.stdin.take()); // cut the lifeline
    assert!(!ends_within(&end, 100)?);
    daemon.kill()?;
    daemon.wait()?;

    let (mut daemon, end) = start_daemon("writeln")?;
    drop(daemon.stdin.take());
    assert!(ends_within(&end, 10_000)?);
    assert!(daemon.wait()?.success());
    // ANCHOR_END: proof
    println!("println!: the watcher is gone, the daemon lives");
    println!("writeln!: the daemon ends");
    Ok(())
}

// ANCHOR: watchers
fn end_with_println() {
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    println!("main is gone");
    process::exit(0);
}

fn end_with_writeln() {
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    let _ = writeln!(io::stdout(), "main is gone");
    process::exit(0);
}
// ANCHOR_END: watchers

fn daemon(end_with_main: fn()) -> Result<()> {
    alarm::set(30); // in case nobody is left to kill it
    println!("ready");
    thread::spawn(end_with_main);
    loop {
        thread::park();
    }
}

/// Starts a daemon, waits until it is ready, and stops reading its output.
fn start_daemon(way: &str) -> Result<(Child, ChildStderr)> {
    let mut daemon = Command::new(env::current_exe()?)
        .args(["daemon", way])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the daemon")?;
    let output = daemon.stdout.take().context("the daemon has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line == "ready\n", "the daemon said {line:?}, not \"ready\"");
    let end = daemon.stderr.take().context("the daemon has no stderr")?;
    Ok((daemon, end))
}

/// Standard error hangs up when the daemon ends.
fn ends_within(end: &ChildStderr, ms: u64) -> Result<bool> {
    let mut ends = [PollFd::new(end.as_fd(), PollFlags::empty())];
    let limit = PollTimeout::try_from(Duration::from_millis(ms))?;
    Ok(poll(&mut ends, limit)? == 1)
}
// ANCHOR_END: all
