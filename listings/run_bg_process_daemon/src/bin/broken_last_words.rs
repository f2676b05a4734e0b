// ANCHOR: all
//! Takes a daemon's reader away before its watcher says its last words.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{self, Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
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
    let (mut daemon, ended) = start_daemon("println")?;
    drop(daemon.stdin.take()); // cut the lifeline
    let end = ended.recv_timeout(Duration::from_millis(100));
    assert_eq!(end, Err(RecvTimeoutError::Timeout));
    daemon.kill()?;
    daemon.wait()?;

    let (mut daemon, ended) = start_daemon("writeln")?;
    drop(daemon.stdin.take());
    let end = ended.recv_timeout(Duration::from_secs(10));
    assert_eq!(end, Ok(()));
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
fn start_daemon(way: &str) -> Result<(Child, Receiver<()>)> {
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
    let mut end = daemon.stderr.take().context("the daemon has no stderr")?;
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || {
        // Standard error is open as long as the daemon lives.
        let _ = io::copy(&mut end, &mut io::sink());
        sender.send(())
    });
    Ok((daemon, ended))
}
// ANCHOR_END: all
