// ANCHOR: all
//! Sends messages of any bytes through pipes, each with its length before it.

use std::env;
use std::io::{self, BufReader, Read, Write};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use os_pipe::{PipeReader, PipeWriter};

fn main() -> Result<()> {
    match env::args_os().nth(1) {
        None => parent(),
        Some(role) if role == "echo" => echo(),
        Some(role) => bail!("unknown role {role:?}: expected \"echo\""),
    }
}

// ANCHOR: parent
fn parent() -> Result<()> {
    let (requests_reader, requests) = os_pipe::pipe()?;
    let (answers, answers_writer) = os_pipe::pipe()?;
    let mut child = Command::new(env::current_exe()?)
        .arg("echo")
        .stdin(requests_reader)
        .stdout(answers_writer)
        .spawn()
        .context("cannot start the child")?;

    let outcome = exchange(requests, answers);
    match child.wait() {
        Ok(status) => {
            outcome.with_context(|| format!("echo: {status}"))?;
            writeln!(io::stdout(), "echo: {status}")?;
            ensure!(status.success(), "the child failed");
            Ok(())
        }
        Err(error) => {
            outcome.and(Err(error).context("cannot wait for the child"))
        }
    }
}

fn exchange(requests: PipeWriter, answers: PipeReader) -> Result<()> {
    let mut requests = FrameWriter::new(requests);
    let mut answers = BufReader::new(answers);
    for message in [&b""[..], b"two\nlines\0", &[b'x'; 300_000]] {
        requests.write(message)?;
        let answer = read_frame(&mut answers)?.context("no answer")?;
        ensure!(answer == message, "the answer is another message");
        writeln!(io::stdout(), "{} bytes came back", answer.len())
            .context("cannot print")?;
    }
    drop(requests);
    ensure!(read_frame(&mut answers)?.is_none(), "one answer too many");
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: echo
fn echo() -> Result<()> {
    let mut input = BufReader::new(os_pipe::dup_stdin()?);
    let mut output = FrameWriter::new(os_pipe::dup_stdout()?);
    while let Some(message) = read_frame(&mut input)? {
        output.write(&message)?;
    }
    Ok(())
}
// ANCHOR_END: echo

// ANCHOR: write
const MAX_FRAME: u32 = 1024 * 1024;

struct FrameWriter<W> {
    /// Gone after an error: a part of a frame may be in the pipe, and what
    /// came after it would pass for the rest.
    pipe: Option<W>,
    frame: Vec<u8>,
}

impl<W: Write> FrameWriter<W> {
    fn new(pipe: W) -> FrameWriter<W> {
        let (pipe, frame) = (Some(pipe), Vec::new());
        FrameWriter { pipe, frame }
    }

    fn write(&mut self, message: &[u8]) -> Result<()> {
        let length = frame_length(message)?;
        // Length and message go out in one write: that halves the calls.
        self.frame.clear();
        self.frame.extend(length.to_be_bytes());
        self.frame.extend(message);
        let mut pipe =
            self.pipe.take().context("an earlier frame was cut off")?;
        pipe.write_all(&self.frame)
            .context("cannot write a frame")?;
        self.pipe = Some(pipe);
        Ok(())
    }
}

fn frame_length(message: &[u8]) -> Result<u32> {
    let length = message.len();
    match u32::try_from(length) {
        Ok(short) if short <= MAX_FRAME => Ok(short),
        _ => bail!("{length} bytes are over a frame's limit of {MAX_FRAME}"),
    }
}
// ANCHOR_END: write

// ANCHOR: read
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
// ANCHOR_END: read
// ANCHOR_END: all
