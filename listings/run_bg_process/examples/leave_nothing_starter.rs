// ANCHOR: all
//! Exercise: leave no background process behind.

use std::env;
use std::io::{self, PipeWriter, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::wait::waitpid;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => limited(check),
        Some("logger") => logger(),
        Some(role) => bail!("unknown role {role:?}: expected \"logger\""),
    }
}

// ANCHOR: piece
/// Counts the words, and has the logger write their number to `log`.
fn count_words(text: &str, log: PipeWriter) -> Result<usize> {
    let mut logger = start_logger(log)?;
    let mut input = logger.stdin.take().context("the logger has no input")?;
    let words = text.split_whitespace().count();
    writeln!(input, "{words} words")?;
    Ok(words)
}
// ANCHOR_END: piece

fn check() -> Result<()> {
    for text in ["leave nothing behind", "not one", ""] {
        let (mut reader, log) = io::pipe()?;
        let words = count_words(text, log)?;
        // Waits for any child that was left, so that the check leaves none.
        let left = waitpid(None, None);
        ensure!(
            left == Err(Errno::ECHILD),
            "not solved yet: a child is left"
        );
        let wanted = text.split(' ').filter(|word| !word.is_empty()).count();
        ensure!(words == wanted, "not solved yet: counted {words} words");
        let mut record = String::new();
        reader.read_to_string(&mut record)?;
        ensure!(
            record == format!("{words} words\n"),
            "not solved yet: {record:?} has been logged"
        );
    }
    println!("solved: the records are there, and no child is left");
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

fn start_logger(log: PipeWriter) -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("logger")
        .stdin(Stdio::piped())
        .stdout(log)
        .spawn()
        .context("cannot start the logger")
}

fn logger() -> Result<()> {
    io::copy(&mut io::stdin(), &mut io::stdout())?;
    Ok(())
}
// ANCHOR_END: all
