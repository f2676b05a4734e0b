// ANCHOR: all
//! Proves that a message dies with the consumer that has taken it.

use std::env;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, raise};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("victim") => victim(),
        Some("consumer") => consumer(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"victim\" or \"consumer\"")
        }
    }
}

fn parent() -> Result<()> {
    let (queue, mut messages) = os_pipe::pipe()?;
    messages.write_all(b"abc")?;
    drop(messages);

    // ANCHOR: proof
    let program = env::current_exe()?;
    let status = Command::new(&program)
        .arg("victim")
        .stdin(queue.try_clone()?)
        .status()
        .context("cannot run the victim")?;
    assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
    let rest = Command::new(&program)
        .arg("consumer")
        .stdin(queue)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run the consumer")?;
    ensure!(rest.status.success(), "the consumer failed");
    assert_eq!(rest.stdout, b"bc");
    println!("victim: {status}, the next consumer got bc of abc");
    // ANCHOR_END: proof
    Ok(())
}

// ANCHOR: victim
fn victim() -> Result<()> {
    os_pipe::dup_stdin()?
        .read_exact(&mut [0])
        .context("no message")?;
    Ok(raise(Signal::SIGKILL)?)
}
// ANCHOR_END: victim

fn consumer() -> Result<()> {
    let mut messages = String::new();
    os_pipe::dup_stdin()?.read_to_string(&mut messages)?;
    io::stdout().write_all(messages.as_bytes())?;
    io::stdout().flush().context("cannot answer")
}
// ANCHOR_END: all
