// ANCHOR: all
//! Proves that a child that dies inside a frame is told from one that is done.

use std::env;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, raise};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    assert_eq!(receive_from_child(0)?, None);
    assert_eq!(receive_from_child(9)?, Some(b"hello".to_vec()));
    for length in 1..9 {
        let frame = receive_from_child(length);
        let error = frame.err().context("a part passed for a whole")?;
        assert!(error.to_string().contains("the pipe ended after"));
        println!("{length} bytes: {error}");
    }
    Ok(())
}
// ANCHOR_END: proof

fn receive_from_child(length: usize) -> Result<Option<Vec<u8>>> {
    let mut child = Command::new(env::current_exe()?)
        .args(["child", &length.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the child")?;
    let mut output = child.stdout.take().context("the child has no output")?;
    let frame = read_frame(&mut output);
    let status = child.wait().context("cannot wait for the child")?;
    ensure!(status.signal() == Some(9), "the child has ended: {status}");
    frame
}

/// Writes the first bytes of a frame and dies.
fn child() -> Result<()> {
    let length = env::args().nth(2).context("the child needs a length")?;
    let length: usize = length.parse()?;
    let frame = [&[0, 0, 0, 5], &b"hello"[..]].concat();
    let part = frame.get(..length).context("expected at most 9 bytes")?;
    let mut output = io::stdout();
    output.write_all(part)?;
    output.flush().context("cannot write")?;
    raise(Signal::SIGKILL).context("cannot kill this process")
}

const MAX_FRAME: u32 = 1024 * 1024;

/// Reads one frame, or `None` if the pipe ends where a frame would begin.
fn read_frame(pipe: &mut impl Read) -> Result<Option<Vec<u8>>> {
    let mut header = Vec::with_capacity(4);
    pipe.by_ref()
        .take(4)
        .read_to_end(&mut header)
        .context("cannot read a length")?;
    if header.is_empty() {
        return Ok(None);
    }
    let Ok(header) = <[u8; 4]>::try_from(header.as_slice()) else {
        bail!("expected a length of 4 bytes, the pipe ended after {header:?}")
    };
    let length = u32::from_be_bytes(header);
    ensure!(
        length <= MAX_FRAME,
        "expected a frame of at most {MAX_FRAME} bytes, not of {length}"
    );
    let mut message = Vec::with_capacity(length as usize);
    let read = pipe
        .by_ref()
        .take(length.into())
        .read_to_end(&mut message)
        .context("cannot read a message")?;
    ensure!(
        read == length as usize,
        "expected a frame of {length} bytes, the pipe ended after {read}"
    );
    Ok(Some(message))
}
// ANCHOR_END: all
