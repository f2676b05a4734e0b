// ANCHOR: all
//! Sends large messages over a socket pair, each in the memory of the last.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::{setsockopt, sockopt::SndBuf};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let (ours, theirs) = large_pair()?;
    let mut child = Command::new(env::current_exe()?)
        .arg("child")
        .stdin(OwnedFd::from(theirs))
        .spawn()
        .context("cannot start the child")?;

    let sent = send_pictures(ours);
    let status = child.wait().context("cannot wait for the child")?;
    sent.with_context(|| format!("child: {status}"))?;
    ensure!(status.success(), "the child failed: {status}");
    Ok(())
}

fn send_pictures(mut socket: UnixStream) -> Result<()> {
    let mut picture = vec![0; MAX_FRAME as usize];
    for brightness in 1..=5 {
        picture.fill(brightness);
        write_frame(&mut socket, &picture)?;
    }
    Ok(())
}

fn child() -> Result<()> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let mut input = BufReader::new(UnixStream::from(socket));
    let mut picture = Vec::new();
    while read_frame(&mut input, &mut picture)? {
        let sum: u64 = picture.iter().map(|&byte| u64::from(byte)).sum();
        writeln!(io::stdout(), "{} bytes, sum {sum}", picture.len())?;
    }
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: pair
/// A socket pair with room for a whole message, so that the writer need not
/// wait in the middle of one. The kernel may grant less.
fn large_pair() -> Result<(UnixStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair().context("cannot make a pair")?;
    let room = MAX_FRAME as usize;
    setsockopt(&ours, SndBuf, &room)?;
    setsockopt(&theirs, SndBuf, &room)?;
    Ok((ours, theirs))
}
// ANCHOR_END: pair

const MAX_FRAME: u32 = 1024 * 1024;
const TURNS: usize = 8;

/// Two writes: next to a large message, the small one costs nothing, and
/// joining them would copy the message.
fn write_frame(socket: &mut impl Write, message: &[u8]) -> Result<()> {
    let header = frame_length(message)?.to_be_bytes();
    socket.write_all(&header).context("cannot write a length")?;
    socket.write_all(message).context("cannot write a message")
}

fn frame_length(message: &[u8]) -> Result<u32> {
    let length = message.len();
    match u32::try_from(length) {
        Ok(short) if short <= MAX_FRAME => Ok(short),
        _ => bail!("{length} bytes are over a frame's limit of {MAX_FRAME}"),
    }
}

/// Reads a frame into `message`, or returns false at the end of the pipe.
fn read_frame(
    pipe: &mut BufReader<impl Read>,
    message: &mut Vec<u8>,
) -> Result<bool> {
    if pipe.buffer().is_empty() {
        // Several frames may be there afterwards, and nobody was woken.
        for _ in 0..TURNS {
            thread::yield_now();
        }
    }
    if pipe.fill_buf().context("cannot read")?.is_empty() {
        return Ok(false);
    }
    let mut header = [0; 4];
    pipe.read_exact(&mut header)
        .context("expected a length of 4 bytes")?;
    let length = u32::from_be_bytes(header);
    ensure!(
        length <= MAX_FRAME,
        "expected a frame of at most {MAX_FRAME} bytes, not of {length}"
    );
    message.resize(length as usize, 0);
    pipe.read_exact(message)
        .with_context(|| format!("expected a frame of {length} bytes"))?;
    Ok(true)
}
// ANCHOR_END: all
