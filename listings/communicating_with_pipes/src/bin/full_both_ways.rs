// ANCHOR: all
//! Proves that writing without reading gets stuck, and that a thread helps.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use os_pipe::{PipeReader, PipeWriter};

const DATA: &[u8] = &[b'x'; 1024 * 1024];

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("echo") => echo(),
        Some(role) => bail!("unknown role {role:?}: expected \"echo\""),
    }
}

fn parent() -> Result<()> {
    stuck()?;
    cured()
}

fn stuck() -> Result<()> {
    let (input_reader, input) = os_pipe::pipe()?;
    let (mut output, output_writer) = os_pipe::pipe()?;
    // Nothing is written to this copy: it tells when the pipe is full.
    let write_end = output_writer.try_clone()?;
    let mut child = start_echo(input_reader, output_writer)?;

    let sent = write_only(&input, &write_end, &child);
    drop((input, write_end));
    let mut received = Vec::new();
    let read = output.read_to_end(&mut received);
    drop(output);
    let status = child.wait().context("cannot wait for the child")?;
    ensure!(status.success(), "the child failed: {status}");
    read.context("cannot read")?;
    assert_eq!(received, DATA[..sent?], "something was lost");
    println!("no reader: both pipes are full before the end");
    Ok(())
}

// ANCHOR: stuck
/// Writes until both pipes are full and the child is asleep.
fn write_only(
    mut input: &PipeWriter,
    write_end: &PipeWriter,
    child: &Child,
) -> Result<usize> {
    // A blocking write would wait here for ever. This one can notice it.
    fcntl(input, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut sent = 0;
    // The child has enough to read. So if it sleeps, it waits for room.
    while has_room(input)? || has_room(write_end)? || !is_asleep(child)? {
        match input.write(&DATA[sent..]) {
            Ok(bytes) => sent += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::yield_now();
            }
            Err(error) => return Err(error.into()),
        }
        assert!(sent < DATA.len() / 2, "the child takes everything");
    }
    Ok(sent)
}
// ANCHOR_END: stuck

/// Whether a write to the pipe would not have to wait.
fn has_room(pipe: &PipeWriter) -> Result<bool> {
    let mut pipes = [PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)];
    Ok(poll(&mut pipes, PollTimeout::ZERO)? > 0)
}

/// Whether the process waits for something.
#[cfg(target_os = "linux")]
fn is_asleep(child: &Child) -> Result<bool> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    let (_, state) = stat.rsplit_once(") ").context("no state in stat")?;
    Ok(state.starts_with('S'))
}

#[cfg(not(target_os = "linux"))]
fn is_asleep(_: &Child) -> Result<bool> {
    // Two full pipes have to do: whatever it does now, it will wait.
    Ok(true)
}

fn cured() -> Result<()> {
    let (input_reader, mut input) = os_pipe::pipe()?;
    let (mut output, output_writer) = os_pipe::pipe()?;
    let mut child = start_echo(input_reader, output_writer)?;
    // ANCHOR: cured
    // The closure owns the input and closes it when everything is written.
    let writer = thread::Builder::new().spawn(move || input.write_all(DATA));
    let mut received = Vec::new();
    let read = output.read_to_end(&mut received);
    // ANCHOR_END: cured
    drop(output);
    let status = child.wait().context("cannot wait for the child")?;
    let written = writer.context("cannot start a thread")?.join();
    ensure!(matches!(written, Ok(Ok(()))), "the writer failed");
    ensure!(status.success(), "the child failed: {status}");
    read.context("cannot read")?;
    assert_eq!(received, DATA);
    println!("a thread writes: {} bytes came back", received.len());
    Ok(())
}

fn start_echo(input: PipeReader, output: PipeWriter) -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("echo")
        .stdin(input)
        .stdout(output)
        .spawn()
        .context("cannot start the child")
}

fn echo() -> Result<()> {
    io::copy(&mut io::stdin().lock(), &mut io::stdout().lock())
        .context("cannot copy")?;
    Ok(())
}
// ANCHOR_END: all
