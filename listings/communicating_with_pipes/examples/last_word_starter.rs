// ANCHOR: all
//! Exercise: let the child learn that there are no more words.

use std::env;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use os_pipe::{PipeReader, PipeWriter};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("count") => count(),
        Some(role) => bail!("unknown role {role:?}: expected \"count\""),
    }
}

// ANCHOR: exercise
fn send_words(words: &mut Option<PipeWriter>) -> Result<()> {
    let pipe = words.as_mut().context("the pipe is closed")?;
    writeln!(pipe, "one\ntwo\nthree").context("cannot send the words")
}
// ANCHOR_END: exercise

fn parent() -> Result<()> {
    let (words_reader, words) = os_pipe::pipe()?;
    let (mut answer, answer_writer) = os_pipe::pipe()?;
    let mut child = Command::new(env::current_exe()?)
        .arg("count")
        .stdin(words_reader)
        .stdout(answer_writer)
        .spawn()
        .context("cannot start the child")?;

    let mut words = Some(words);
    let sent = send_words(&mut words);
    // Without the pipe there is nothing to wait for.
    let answered = match words {
        None => comes(&answer),
        Some(_) => Ok(false),
    };
    if !matches!(answered, Ok(true)) {
        // An error means that it has ended.
        let _ = child.kill();
    }
    let status = child.wait().context("cannot wait for the child")?;
    sent.context("not solved yet")?;
    ensure!(
        answered?,
        "not solved yet: the child hangs, waiting for more words"
    );
    ensure!(status.success(), "the child failed: {status}");
    let mut text = String::new();
    answer.read_to_string(&mut text)?;
    ensure!(text == "3\n", "not solved yet: the child said {text:?}");
    println!("solved: the child counted 3 words");
    Ok(())
}

/// Waits for the answer, but no longer than ten seconds.
fn comes(answer: &PipeReader) -> Result<bool> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut pipes = [PollFd::new(answer.as_fd(), PollFlags::POLLIN)];
        match poll(&mut pipes, PollTimeout::try_from(left)?) {
            Err(Errno::EINTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}

fn count() -> Result<()> {
    let words = io::stdin().lines().count();
    writeln!(io::stdout(), "{words}").context("cannot answer")
}
// ANCHOR_END: all
