// ANCHOR: all
//! Talks with a child in both directions through one pair of sockets.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

fn parent() -> Result<()> {
    // ANCHOR: pair
    let (ours, theirs) = UnixStream::pair().context("cannot make a pair")?;
    let mut child = Command::new(env::current_exe()?)
        .arg("child")
        .stdin(OwnedFd::from(theirs))
        .spawn()
        .context("cannot start the child")?;
    // ANCHOR_END: pair

    let outcome = talk(ours);
    let status = child.wait().context("cannot wait for the child")?;
    outcome.with_context(|| format!("child: {status}"))?;
    ensure!(status.success(), "the child failed: {status}");
    Ok(())
}

// ANCHOR: talk
fn talk(ours: UnixStream) -> Result<()> {
    let mut input = BufReader::new(&ours);
    let mut output = io::stdout();
    writeln!(output, "child: {}", receive(&mut input)?)?;
    writeln!(&ours, "Ada")?;
    writeln!(output, "child: {}", receive(&mut input)?)?;
    ours.shutdown(Shutdown::Write)?;
    writeln!(output, "child: {}", receive(&mut input)?)?;
    Ok(())
}
// ANCHOR_END: talk

// ANCHOR: child
fn child() -> Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut input = BufReader::new(&socket);
    writeln!(&socket, "what is your name?")
        .context("standard input is not the parent's socket")?;
    writeln!(&socket, "hello {}", receive(&mut input)?)?;
    let mut rest = String::new();
    let bytes = input.read_line(&mut rest)?;
    ensure!(bytes == 0, "expected the end of file, received {rest:?}");
    writeln!(&socket, "you have no more to say: goodbye")?;
    Ok(())
}
// ANCHOR_END: child

fn receive(input: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    ensure!(line.ends_with('\n'), "expected a line, received {line:?}");
    line.pop();
    Ok(line)
}
// ANCHOR_END: all
