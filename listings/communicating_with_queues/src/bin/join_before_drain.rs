// ANCHOR: all
//! Proves that a producer cannot end while its last messages are not read.

use std::env;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const MESSAGES: usize = 512 * 1024;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("producer") => producer(),
        Some(role) => bail!("unknown role {role:?}: expected \"producer\""),
    }
}

fn parent() -> Result<()> {
    let mut producer = Command::new(env::current_exe()?)
        .arg("producer")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the producer")?;
    let mut queue = producer.stdout.take().context("it has no output")?;
    let errors = producer.stderr.take().context("it has no errors")?;

    // ANCHOR: proof
    // Asks for nothing: `poll` reports a hang-up unasked. Standard error hangs
    // up when the producer ends.
    let end = PollFd::new(errors.as_fd(), PollFlags::empty());
    assert_eq!(poll(&mut [end], PollTimeout::from(20_u8))?, 0);
    assert!(producer.try_wait()?.is_none(), "it has ended");
    println!("nobody reads: the producer has not ended");

    let bytes = queue.read_to_end(&mut Vec::new())?;
    let status = producer.wait()?;
    println!("{bytes} bytes read: {status}");
    // ANCHOR_END: proof
    ensure!(status.success(), "the producer failed");
    ensure!(bytes == MESSAGES, "expected {MESSAGES} bytes");
    Ok(())
}

fn producer() -> Result<()> {
    io::stdout()
        .write_all(&vec![b'x'; MESSAGES])
        .context("cannot send")
}
// ANCHOR_END: all
