// ANCHOR: all
//! Counts the writes that a thousand small frames cost with and without a
//! buffer.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("count") => count(),
        Some(role) => bail!("unknown role {role:?}: expected \"count\""),
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let (child, mut pipe) = start_counter()?;
    let sent = send_frames(&mut pipe);
    report("no buffer", child, pipe, sent)?;

    let (child, pipe) = start_counter()?;
    let mut buffer = BufWriter::with_capacity(BUFFER, pipe);
    let sent = send_frames(&mut buffer);
    report("BufWriter", child, buffer.into_parts().0, sent)
}

fn send_frames(pipe: &mut impl Write) -> Result<()> {
    for number in 0..1000_u64 {
        write_frame(pipe, &number.to_be_bytes())?;
    }
    pipe.flush().context("cannot write the last frames")
}
// ANCHOR_END: parent

// ANCHOR: frames
const MAX_FRAME: u32 = 1024 * 1024;
const BUFFER: usize = 64 * 1024;
const TURNS: usize = 8;

/// For a buffer: to a bare pipe, each frame would be two writes.
fn write_frame(buffer: &mut impl Write, message: &[u8]) -> Result<()> {
    let header = frame_length(message)?.to_be_bytes();
    buffer.write_all(&header).context("cannot write a length")?;
    buffer.write_all(message).context("cannot write a message")
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
// ANCHOR_END: frames

// ANCHOR: counted
#[derive(Debug)]
struct Counted {
    pipe: ChildStdin,
    writes: usize,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes += 1;
        self.pipe.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe.flush()
    }
}
// ANCHOR_END: counted

fn start_counter() -> Result<(Child, Counted)> {
    let mut child = Command::new(env::current_exe()?)
        .arg("count")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the child")?;
    let pipe = child.stdin.take().context("the child has no input")?;
    Ok((child, Counted { pipe, writes: 0 }))
}

fn report(
    name: &str,
    child: Child,
    pipe: Counted,
    sent: Result<()>,
) -> Result<()> {
    let writes = pipe.writes;
    drop(pipe);
    let output = child
        .wait_with_output()
        .context("cannot wait for the child")?;
    let status = output.status;
    sent.with_context(|| format!("child: {status}"))?;
    ensure!(status.success(), "the child failed: {status}");
    let frames = String::from_utf8(output.stdout)?;
    println!("{name}: {} frames, writes: {writes}", frames.trim_end());
    Ok(())
}

fn count() -> Result<()> {
    let mut input = BufReader::with_capacity(BUFFER, os_pipe::dup_stdin()?);
    let mut message = Vec::new();
    let mut frames = 0;
    while read_frame(&mut input, &mut message)? {
        frames += 1;
    }
    println!("{frames}");
    Ok(())
}
// ANCHOR_END: all
