// ANCHOR: all
//! Solution: lose no message when a consumer dies.

use std::collections::VecDeque;
use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => in_time(check),
        Some("victim") => victim(),
        Some("consumer") => consumer(2, usize::MAX),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"victim\" or \"consumer\"")
        }
    }
}

// ANCHOR: exercise
fn distribute(
    messages: &mut VecDeque<String>,
    child: &mut Child,
) -> Result<Vec<String>> {
    let mut input = child.stdin.take().context("it has no input")?;
    let output = child.stdout.take().context("it has no output")?;
    let mut answers = BufReader::new(output);
    let mut received = Vec::new();
    while let Some(message) = messages.pop_front() {
        let _ = input.write_all(format!("{message}\n").as_bytes());
        let mut answer = String::new();
        answers.read_line(&mut answer)?;
        // What has no end of line is at most the beginning of an answer.
        if !answer.ends_with('\n') {
            messages.push_front(message);
            break;
        }
        received.push(answer.trim_end().to_owned());
    }
    Ok(received)
}
// ANCHOR_END: exercise

fn in_time(check: fn() -> Result<()>) -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(check()));
    match receiver.recv_timeout(Duration::from_secs(10)) {
        Ok(checked) => checked,
        Err(RecvTimeoutError::Timeout) => {
            bail!("not solved yet: it hangs, no end after ten seconds")
        }
        Err(_) => bail!("not solved yet: it panicked"),
    }
}

fn check() -> Result<()> {
    let received = serve()?.join(", ");
    ensure!(
        received == "A by 1, B by 1, C by 2, D by 2, E by 2",
        "not solved yet: received {received}"
    );
    println!("solved: received {received}");
    Ok(())
}

fn serve() -> Result<Vec<String>> {
    let mut messages = ["a", "b", "c", "d", "e"].map(String::from).into();
    let mut received = Vec::new();
    for role in ["victim", "consumer"] {
        let mut child = Command::new(env::current_exe()?)
            .arg(role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a consumer")?;
        let answers = distribute(&mut messages, &mut child);
        child.wait()?;
        received.extend(answers?);
    }
    Ok(received)
}

/// Signs each answer, and ends after so many of them.
fn consumer(number: u32, answers: usize) -> Result<()> {
    for message in io::stdin().lines().take(answers) {
        let answer = message?.to_uppercase();
        writeln!(io::stdout(), "{answer} by {number}")?;
    }
    Ok(())
}

/// Answers two messages and breaks off in the third.
fn victim() -> Result<()> {
    consumer(1, 2)?;
    io::stdin().lines().next();
    write!(io::stdout(), "C b").context("cannot answer")
}
// ANCHOR_END: all
