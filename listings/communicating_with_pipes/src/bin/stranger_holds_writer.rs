// ANCHOR: all
//! Proves that a writer inherited by a stranger keeps a pipe open.

use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("stranger") => stranger(),
        Some(role) => bail!("unknown role {role:?}: expected \"stranger\""),
    }
}

fn parent() -> Result<()> {
    let (mut reader, writer) = os_pipe::pipe()?;
    // A read that would have to wait is an error from now on.
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // ANCHOR: proof
    // The mistake: from here on every program that is started inherits it.
    fcntl(&writer, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let strangers = [start_stranger(), start_stranger()];
    drop(writer);

    let mut read = || reader.read(&mut [0]).map_err(|error| error.kind());
    // Each of them is one more to wait for: its standard input is closed then.
    let ends = strangers.map(|it| (read(), it.and_then(wait)));
    for (before, end) in ends {
        ensure!(end?.success(), "a stranger failed");
        assert_eq!(before, Err(ErrorKind::WouldBlock), "nobody holds it");
    }
    assert_eq!(read(), Ok(0));
    println!("end of file after the strangers' end, not before");
    // ANCHOR_END: proof
    Ok(())
}

fn wait(mut stranger: Child) -> Result<ExitStatus> {
    stranger.wait().context("cannot wait for a stranger")
}

/// Returns when the stranger runs. Until then it may still be closing what
/// is not for it.
fn start_stranger() -> Result<Child> {
    let mut stranger = Command::new(env::current_exe()?)
        .arg("stranger")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a stranger")?;
    let mut output = stranger.stdout.take();
    let runs = output.as_mut().map(|it| it.read_exact(&mut [0]));
    if !matches!(runs, Some(Ok(()))) {
        bail!("a stranger did not begin: {}", wait(stranger)?);
    }
    Ok(stranger)
}

fn stranger() -> Result<()> {
    writeln!(io::stdout(), "I run")?;
    io::copy(&mut io::stdin(), &mut io::sink())
        .context("cannot read standard input")?;
    Ok(())
}
// ANCHOR_END: all
