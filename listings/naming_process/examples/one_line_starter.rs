// ANCHOR: all
//! Exercise: make one line of the log out of any name and any message.

use std::env;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    limited(check)
}

// ANCHOR: task
/// One line: a single end of line, at its end, and at most PIPE_BUF bytes.
/// Only a line that is too long is cut, and not more of it than necessary.
fn line(name: &str, message: &str) -> String {
    format!("[{name}] {message}\n")
}
// ANCHOR_END: task

fn check() -> Result<()> {
    for name in ["Worker-1", "W-1", "Arbeiter-ü", "Worker-1\n[Worker-2]"] {
        for message in ["started", "done\n[Worker-2] failed", ""] {
            let text = checked(name, message)?;
            ensure!(
                message.split('\n').all(|part| text.contains(part)),
                "not solved yet: {message:?} became {text:?}"
            );
        }
        for (letter, before) in [("x", ""), ("ü", "-"), ("ü", ""), ("🦀", "")]
        {
            let long = format!("{before}{}", letter.repeat(libc::PIPE_BUF));
            let text = checked(name, &long)?;
            ensure!(
                text.len() + letter.len() >= libc::PIPE_BUF,
                "not solved yet: {letter:?} over and over, and of {} bytes \
                 only {} are left",
                libc::PIPE_BUF,
                text.len()
            );
        }
    }
    let line = line("Worker-1", "started");
    ensure!(
        line == "[Worker-1] started\n",
        "not solved yet: an ordinary line became {line:?}"
    );
    println!("solved");
    Ok(())
}

/// The line without its end.
fn checked(name: &str, message: &str) -> Result<String> {
    let start: String = message.chars().take(20).collect();
    let line = line(name, message);
    let text = line.strip_suffix('\n');
    let text = text.context("not solved yet: no end of line")?;
    ensure!(
        !text.contains('\n'),
        "not solved yet: {name:?} and {start:?} became two lines"
    );
    ensure!(
        line.len() <= libc::PIPE_BUF,
        "not solved yet: {start:?} and so on became {} bytes",
        line.len()
    );
    let first: String = name.chars().take_while(|&it| it != '\n').collect();
    ensure!(
        text.starts_with(&format!("[{first}")),
        "not solved yet: {start:?} has lost its name"
    );
    Ok(text.to_owned())
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
// ANCHOR_END: all
