// ANCHOR: all
//! Proves that writing without reading gets stuck, and that a thread helps.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

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
    let (mut child, mut input, mut output) = start_echo()?;
    // ANCHOR: stuck
    // A blocking write would wait here for ever. This one can notice it.
    fcntl(&input, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut sent = 0;
    while sent < DATA.len() {
        match input.write(&DATA[sent..]) {
            Ok(bytes) => sent += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let end = PollFd::new(input.as_fd(), PollFlags::POLLOUT);
                if poll(&mut [end], PollTimeout::from(20_u8))? == 0 {
                    break;
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    assert!(sent < DATA.len(), "the child took everything");
    // ANCHOR_END: stuck
    drop(input);
    assert_eq!(output.read_to_end(&mut Vec::new())?, sent);
    ensure!(child.wait()?.success(), "the child failed");
    println!("no reader: stuck before the end");
    Ok(())
}

fn cured() -> Result<()> {
    let (mut child, mut input, mut output) = start_echo()?;
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

fn start_echo() -> Result<(Child, ChildStdin, ChildStdout)> {
    let mut child = Command::new(env::current_exe()?)
        .arg("echo")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the child")?;
    let input = child.stdin.take().context("the child has no input")?;
    let output = child.stdout.take().context("the child has no output")?;
    Ok((child, input, output))
}

fn echo() -> Result<()> {
    io::copy(&mut io::stdin().lock(), &mut io::stdout().lock())
        .context("cannot copy")?;
    Ok(())
}
// ANCHOR_END: all
