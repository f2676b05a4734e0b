// ANCHOR: all
//! Proves that a bounded queue holds its producer back, and an unbounded not.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::fd::AsFd;
use std::process::{ChildStderr, ChildStdout, Command, Stdio};
use std::{env, thread};

use anyhow::{Context, Result, anyhow, bail, ensure};
use crossbeam_channel::{Sender, bounded, unbounded};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const MESSAGES: usize = 100_000;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("producer") => producer(),
        Some(role) => bail!("unknown role {role:?}: expected \"producer\""),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let (queue, messages) = bounded(4);
    let ended = with_producer(queue, |errors| {
        let ended = hangs_up(errors, PollTimeout::from(20_u8))?;
        assert!(messages.len() <= 4, "the queue is over its bound");
        assert_eq!(messages.iter().count(), MESSAGES);
        Ok(ended)
    })?;
    assert!(!ended, "the producer did not wait");
    println!("bounded: the producer waits for somebody to take messages");

    let (queue, messages) = unbounded();
    with_producer(queue, |errors| hangs_up(errors, PollTimeout::NONE))?;
    assert_eq!(messages.len(), MESSAGES);
    println!("unbounded: it is done, {MESSAGES} messages are in memory");
    Ok(())
}
// ANCHOR_END: proof

/// Waits for the end of the producer, which holds the other end.
fn hangs_up(errors: &ChildStderr, timeout: PollTimeout) -> Result<bool> {
    let mut end = [PollFd::new(errors.as_fd(), PollFlags::empty())];
    Ok(poll(&mut end, timeout)? == 1)
}

/// Runs a producer whose messages go into the queue, and something beside it.
fn with_producer(
    queue: Sender<String>,
    beside: impl FnOnce(&ChildStderr) -> Result<bool>,
) -> Result<bool> {
    let mut producer = Command::new(env::current_exe()?)
        .arg("producer")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the producer")?;
    let output = producer.stdout.take().context("it has no output")?;
    let errors = producer.stderr.take().context("it has no errors")?;
    let forwarder = thread::spawn(move || forward(output, queue));
    let result = beside(&errors);
    forwarder
        .join()
        .map_err(|_| anyhow!("the thread panicked"))??;
    ensure!(producer.wait()?.success(), "the producer failed");
    result
}

fn forward(output: ChildStdout, queue: Sender<String>) -> Result<()> {
    for message in BufReader::new(output).lines() {
        queue.send(message?)?;
    }
    Ok(())
}

fn producer() -> Result<()> {
    let mut queue = BufWriter::new(io::stdout().lock());
    for number in 0..MESSAGES {
        writeln!(queue, "{number:06}").context("cannot send a message")?;
    }
    queue.flush().context("cannot send the last messages")
}
// ANCHOR_END: all
