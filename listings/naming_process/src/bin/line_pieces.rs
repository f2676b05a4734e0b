// ANCHOR: all
//! Shows in how many pieces one line of a log reaches the kernel.

use std::env;
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    let name = "Worker-1";
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("pieces") => {
            eprintln!("[{name}] started");
            Ok(())
        }
        Some("whole") => {
            let line = format!("[{name}] started\n");
            io::stderr()
                .write_all(line.as_bytes())
                .context("cannot write")
        }
        Some(role) => {
            bail!("unknown role {role:?}: expected \"pieces\" or \"whole\"")
        }
    }
}

fn parent() -> Result<()> {
    // ANCHOR: proof
    let pieces = stderr_of("pieces")?;
    let whole = stderr_of("whole")?;
    assert!(pieces.len() > 1);
    assert_eq!(pieces.concat(), "[Worker-1] started\n");
    assert_eq!(whole, ["[Worker-1] started\n"]);
    println!("eprintln!: {pieces:?}");
    println!("write_all: {whole:?}");
    // ANCHOR_END: proof
    Ok(())
}

// ANCHOR: stderr_of
/// Runs a worker whose standard error is a datagram socket, on which each
/// write arrives as a message of its own.
fn stderr_of(role: &str) -> Result<Vec<String>> {
    let (log, worker_end) = UnixDatagram::pair()?;
    let status = Command::new(env::current_exe()?)
        .arg(role)
        .stderr(OwnedFd::from(worker_end))
        .status()
        .context("cannot run the worker")?;
    ensure!(status.success(), "{role}: {status}");
    log.set_nonblocking(true)?;
    let mut writes = Vec::new();
    let mut buffer = [0; 256];
    loop {
        match log.recv(&mut buffer) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&buffer[..length]);
                writes.push(text.into_owned());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => bail!("cannot read the log: {error}"),
        }
    }
    Ok(writes)
}
// ANCHOR_END: stderr_of
// ANCHOR_END: all
