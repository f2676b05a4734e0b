// ANCHOR: all
//! Takes a daemon's reader away before its watcher says its last words.

use std::env;
use std::io::{self, BufRead, BufReader, Lines, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Child, ChildStderr, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigHandler, Signal, signal};
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

/// What the daemon says when its watcher is gone.
const LIVES: &str = "the watcher is gone, the daemon works on";

fn parent() -> Result<()> {
    // If our starter ignored SIGCHLD, nobody could be waited for.
    // SAFETY: the default action runs no code of this process.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    // ANCHOR: proof
    let (mut daemon, mut errors) = start_daemon("println")?;
    drop(daemon.stdin.take()); // cut the lifeline
    // The watcher panics, and then the daemon itself speaks.
    let words = errors.find(|line| matches!(line, Ok(line) if line == LIVES));
    daemon.kill()?;
    let end = daemon.wait()?;
    assert!(words.is_some(), "the daemon does not speak");
    assert_eq!(end.signal(), Some(Signal::SIGKILL as i32));

    let (mut daemon, mut errors) = start_daemon("writeln")?;
    drop(daemon.stdin.take());
    assert!(errors.next().is_none(), "the daemon speaks");
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
    let watcher = thread::Builder::new().spawn(end_with_main)?;
    if watcher.join().is_err() {
        eprintln!("{LIVES}");
    }
    loop {
        thread::park();
    }
}

/// Starts a daemon, waits until it is ready, and stops reading its output.
/// Its standard error is open as long as it lives.
fn start_daemon(way: &str) -> Result<(Child, Lines<BufReader<ChildStderr>>)> {
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
    if line != "ready\n" {
        let end = daemon.wait()?; // which cuts the lifeline
        bail!("the daemon said {line:?}, not \"ready\": {end}");
    }
    let errors = daemon.stderr.take().context("the daemon has no stderr")?;
    Ok((daemon, BufReader::new(errors).lines()))
}
// ANCHOR_END: all
