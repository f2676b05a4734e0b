// ANCHOR: all
//! Counts the writes that a thousand small frames cost with and without a
//! buffer.

use std::env;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

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
    send_frames(&mut pipe)?;
    report("no buffer", child, pipe)?;

    let (child, pipe) = start_counter()?;
    let mut buffer = BufWriter::new(pipe);
    send_frames(&mut buffer)?;
    buffer.flush().context("cannot write the last frames")?;
    report("BufWriter", child, buffer.into_inner()?)
}

fn send_frames(pipe: &mut impl Write) -> Result<()> {
    for number in 0..1000_u64 {
        let mut frame = [0; 12];
        frame[..4].copy_from_slice(&8_u32.to_be_bytes());
        frame[4..].copy_from_slice(&number.to_be_bytes());
        pipe.write_all(&frame).context("cannot write a frame")?;
    }
    Ok(())
}
// ANCHOR_END: parent

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

fn report(name: &str, child: Child, pipe: Counted) -> Result<()> {
    let writes = pipe.writes;
    drop(pipe);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the child failed");
    let frames = String::from_utf8(output.stdout)?;
    println!("{name}: {writes} writes, {} frames", frames.trim_end());
    Ok(())
}

fn count() -> Result<()> {
    let mut input = BufReader::new(os_pipe::dup_stdin()?);
    let mut frame = Vec::new();
    let mut frames = 0;
    while input.by_ref().take(12).read_to_end(&mut frame)? == 12 {
        frame.clear();
        frames += 1;
    }
    ensure!(frame.is_empty(), "expected frames of 12 bytes");
    println!("{frames}");
    Ok(())
}
// ANCHOR_END: all
