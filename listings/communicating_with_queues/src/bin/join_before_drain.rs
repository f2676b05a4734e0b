// ANCHOR: all
//! Proves that a producer cannot end while its last messages are not read.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::{env, fs, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use os_pipe::PipeWriter;

const MESSAGES: usize = 512 * 1024;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("producer") => producer(),
        Some(role) => bail!("unknown role {role:?}: expected \"producer\""),
    }
}

fn parent() -> Result<()> {
    let (mut queue, writer) = os_pipe::pipe()?;
    let mut producer = Command::new(env::current_exe()?)
        .arg("producer")
        .stdout(writer.try_clone()?)
        .spawn()
        .context("cannot start the producer")?;

    // ANCHOR: proof
    while has_room(&writer)? || !is_asleep(&producer)? {
        assert!(producer.try_wait()?.is_none(), "it has ended");
        thread::yield_now();
    }
    println!("nobody reads: the pipe is full, and the producer sleeps");

    drop(writer);
    let bytes = queue.read_to_end(&mut Vec::new())?;
    let status = producer.wait()?;
    println!("{bytes} bytes read: {status}");
    // ANCHOR_END: proof
    ensure!(status.success(), "the producer failed");
    ensure!(bytes == MESSAGES, "expected {MESSAGES} bytes");
    Ok(())
}

// ANCHOR: signs
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
// ANCHOR_END: signs

fn producer() -> Result<()> {
    io::stdout()
        .write_all(&vec![b'x'; MESSAGES])
        .context("cannot send")
}
// ANCHOR_END: all
