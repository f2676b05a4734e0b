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
    let (input_reader, mut input) = os_pipe::pipe()?;
    let (mut output, output_writer) = os_pipe::pipe()?;
    // Nothing is written to this copy: it tells when the pipe is full.
    let write_end = output_writer.try_clone()?;
    let mut child = start_echo(input_reader, output_writer)?;
    // ANCHOR: stuck
    // A blocking write would wait here for ever. This one can notice it.
    fcntl(&input, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut sent = 0;
    while has_room(&input, 20)? || has_room(&write_end, 0)? {
        match input.write(&DATA[sent..]) {
            Ok(bytes) => sent += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        // The child holds a buffer of a few kilobytes, and that is no way out.
        assert!(sent < DATA.len() / 2, "the child takes everything");
    }
    // ANCHOR_END: stuck
    drop((input, write_end));
    assert_eq!(output.read_to_end(&mut Vec::new())?, sent);
    ensure!(child.wait()?.success(), "the child failed");
    println!("no reader: both pipes are full before the end");
    Ok(())
}

/// Waits until a write to the pipe would not wait, but not much longer than
/// the time: then the pipe is full.
fn has_room(pipe: &PipeWriter, milliseconds: u8) -> Result<bool> {
    let mut pipes = [PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)];
    Ok(poll(&mut pipes, PollTimeout::from(milliseconds))? > 0)
}

fn cured() -> Result<()> {
    let (input_reader, mut input) = os_pipe::pipe()?;
    let (mut output, output_writer) = os_pipe::pipe()?;
    let mut child = start_echo(input_reader, output_writer)?;
    // ANCHOR: cured
    // The closure owns the input and closes it when everything is written.
    let writer = thread::spawn(move || input.write_all(DATA));
    let mut received = Vec::new();
    output.read_to_end(&mut received)?;
    // ANCHOR_END: cured
    ensure!(matches!(writer.join(), Ok(Ok(()))), "the writer failed");
    ensure!(child.wait()?.success(), "the child failed");
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
