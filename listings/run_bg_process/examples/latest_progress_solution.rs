// ANCHOR: all
//! Exercise: show the newest report of a background process.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => limited(check),
        Some("counter") => counter(),
        Some(role) => bail!("unknown role {role:?}: expected \"counter\""),
    }
}

// ANCHOR: piece
/// The newest report that has arrived, if any has. Never waits for one.
fn latest(reports: &Receiver<String>) -> Option<String> {
    reports.try_iter().last()
}
// ANCHOR_END: piece

fn check() -> Result<()> {
    let mut counter = Command::new(env::current_exe()?)
        .arg("counter")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the counter")?;
    let output = counter.stdout.take().context("no output to read")?;
    let (sender, reports) = mpsc::channel();
    let read = forward(output, &sender);
    let status = counter.wait().context("cannot wait for the counter")?;
    ensure!(status.success(), "the counter failed: {status}");
    read?;

    // More may come: the sender is still there.
    for wanted in [Some("100%"), None] {
        let found = latest(&reports);
        ensure!(
            found.as_deref() == wanted,
            "not solved yet: latest() gave {found:?}, not {wanted:?}"
        );
    }
    for report in ["done", "cleaned up"] {
        sender.send(report.to_owned())?;
    }
    let found = latest(&reports);
    ensure!(
        found.as_deref() == Some("cleaned up"),
        "not solved yet: after two more reports latest() gave {found:?}"
    );
    println!("solved: latest() skipped what was out of date");
    Ok(())
}

fn forward(output: ChildStdout, sender: &Sender<String>) -> Result<()> {
    for line in BufReader::new(output).lines() {
        sender.send(line?)?;
    }
    Ok(())
}

/// Runs the check, and says so if it does not end.
fn limited(check: fn() -> Result<()>) -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new()
        .spawn(move || sender.send(check()))
        .context("cannot start a thread")?;
    match receiver.recv_timeout(Duration::from_secs(10)) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => bail!("not solved yet: it hangs"),
        Err(_) => bail!("not solved yet: it panicked"),
    }
}

fn counter() -> Result<()> {
    for percent in [25, 50, 75, 100] {
        println!("{percent}%");
    }
    Ok(())
}
// ANCHOR_END: all
