// ANCHOR: all
//! Proves that a child with a large result cannot end before it is read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, iter, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

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

    // It has said how many, and has nothing left to do but to write one more.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_asleep(&child)? {
        assert!(Instant::now() < deadline, "the child does not write");
        thread::yield_now();
    }
    assert!(is_full(&result)?, "it sleeps with room in the pipe");
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

// ANCHOR: asleep
/// Whether the process sleeps in a system call, as the kernel says.
fn is_asleep(child: &Child) -> Result<bool> {
    let state = state(child.id())?;
    assert!(!state.starts_with('Z'), "the child has ended unread");
    Ok(state.starts_with('S'))
}

/// Whether the pipe holds all that it has room for.
#[cfg(target_os = "linux")]
fn is_full(pipe: &ChildStdout) -> Result<bool> {
    let room = fcntl(pipe, FcntlArg::F_GETPIPE_SZ)?;
    // nix has no such call.
    Ok(rustix::io::ioctl_fionread(pipe)? == u64::try_from(room)?)
}

#[cfg(not(target_os = "linux"))]
fn is_full(_: &ChildStdout) -> Result<bool> {
    bail!("this proof needs Linux, which tells how much a pipe holds")
}

#[cfg(target_os = "linux")]
fn state(pid: u32) -> Result<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .context("cannot read the child's state")?;
    // The state follows the name, which stands in parentheses.
    let (_, rest) = stat.rsplit_once(") ").context("no state in it")?;
    Ok(rest.to_owned())
}
// ANCHOR_END: asleep

#[cfg(not(target_os = "linux"))]
fn state(pid: u32) -> Result<String> {
    let output = Command::new("ps")
        .args(["-o", "state=", "-p", &pid.to_string()])
        .output()
        .context("cannot run ps")?;
    Ok(String::from_utf8(output.stdout)?)
}

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
    if let Err(error) = input.write_all(b"go\n") {
        let status = child.wait().context("cannot wait for the child")?;
        let what = format!("the child has failed: {status}");
        return Err(anyhow::Error::new(error).context(what));
    }
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
