// ANCHOR: all
//! Proves that a child with a large result cannot end before it is read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::{env, iter};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    let mut child = start()?;
    let mut result = child.stdout.take().context("no result pipe")?;
    let messages = child.stderr.take().context("no message pipe")?;
    let mut messages = BufReader::new(messages);
    let capacity = read_number(&mut messages)?;

    // Only the child holds the other end, so poll would report its end.
    let fd = messages.get_ref().as_fd();
    let mut ends = [PollFd::new(fd, PollFlags::empty())];
    assert_eq!(poll(&mut ends, PollTimeout::from(100u8))?, 0);

    let mut bytes = Vec::new();
    result.read_to_end(&mut bytes)?;
    assert_eq!(bytes.len(), capacity + 1);
    assert!(child.wait()?.success());
    println!(
        "one byte too many for the pipe: the child ended when it was read"
    );
    Ok(())
}
// ANCHOR_END: proof

fn read_number(messages: &mut impl BufRead) -> Result<usize> {
    let mut line = String::new();
    messages.read_line(&mut line)?;
    line.trim()
        .parse()
        .with_context(|| format!("expected a number: {line}"))
}

fn start() -> Result<Child> {
    let mut child = Command::new(env::current_exe()?)
        .arg("child")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the child")?;
    let mut input = child.stdin.take().context("the child has no input")?;
    input.write_all(b"go\n").context("cannot send \"go\"")?;
    Ok(child)
}

fn child() -> Result<()> {
    let order = io::stdin().lines().next().transpose()?;
    ensure!(order.as_deref() == Some("go"), "expected the line \"go\"");
    let mut result = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let flags = OFlag::from_bits_retain(fcntl(&result, FcntlArg::F_GETFL)?);
    fcntl(&result, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    let refused = iter::repeat_with(|| result.write_all(b"x"))
        .take(1 << 24)
        .enumerate()
        .find_map(|(sent, written)| Some((sent, written.err()?)));
    let (capacity, error) = refused.context("the pipe never filled up")?;
    ensure!(error.kind() == ErrorKind::WouldBlock, "{error}");
    fcntl(&result, FcntlArg::F_SETFL(flags))?;
    eprintln!("{capacity}");
    result.write_all(b"x").context("cannot send the last byte")
}
// ANCHOR_END: all
