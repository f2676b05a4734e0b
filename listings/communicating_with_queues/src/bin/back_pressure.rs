// ANCHOR: all
//! Proves that a bounded queue holds its producer back, and an unbounded not.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::{env, fs, thread};

use anyhow::{Context, Result, bail, ensure};
use crossbeam_channel::{Sender, bounded, unbounded};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use os_pipe::{PipeReader, PipeWriter};

const MESSAGES: usize = 20_000;

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
    let (mut producer, pipe) = start(queue)?;
    while messages.len() < 4 || has_room(&pipe)? || !is_asleep(&producer)? {
        assert!(messages.len() <= 4, "the queue is over its bound");
        assert!(producer.try_wait()?.is_none(), "it did not wait");
        thread::yield_now();
    }
    assert_eq!(messages.len(), 4, "the queue is over its bound");
    println!("bounded: the queue and the pipe are full, the producer sleeps");
    drop(pipe);
    assert_eq!(messages.iter().count(), MESSAGES);
    ensure!(producer.wait()?.success(), "the producer failed");

    let (queue, messages) = unbounded();
    let (mut producer, _) = start(queue)?;
    ensure!(producer.wait()?.success(), "the producer failed");
    println!("unbounded: it has ended, though nobody takes a message");
    assert_eq!(messages.iter().count(), MESSAGES);
    Ok(())
}
// ANCHOR_END: proof

/// Starts a producer whose messages go into the queue. Also returns another
/// writing end of its pipe.
fn start(queue: Sender<String>) -> Result<(Child, PipeWriter)> {
    let (reader, writer) = os_pipe::pipe()?;
    let producer = Command::new(env::current_exe()?)
        .arg("producer")
        .stdout(writer.try_clone()?)
        .spawn()
        .context("cannot start the producer")?;
    thread::spawn(move || forward(reader, queue));
    Ok((producer, writer))
}

fn forward(output: PipeReader, queue: Sender<String>) -> Result<()> {
    for message in BufReader::new(output).lines() {
        queue.send(message?)?;
    }
    Ok(())
}

fn has_room(pipe: &PipeWriter) -> Result<bool> {
    let mut ends = [PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)];
    Ok(poll(&mut ends, PollTimeout::ZERO)? > 0)
}

/// Whether it waits for something, as Linux sees it.
fn is_asleep(child: &Child) -> Result<bool> {
    let file = format!("/proc/{}/stat", child.id());
    let stat = fs::read_to_string(&file)
        .with_context(|| format!("cannot read {file}"))?;
    // The program's name, in parentheses, comes before the state.
    let (_, state) = stat.rsplit_once(") ").context("no state")?;
    Ok(state.starts_with('S'))
}

fn producer() -> Result<()> {
    let mut queue = BufWriter::new(io::stdout().lock());
    for number in 0..MESSAGES {
        writeln!(queue, "{number:06}").context("cannot send a message")?;
    }
    queue.flush().context("cannot send the last messages")
}
// ANCHOR_END: all
