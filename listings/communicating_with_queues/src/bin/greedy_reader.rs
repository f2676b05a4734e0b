// ANCHOR: all
//! Proves that a buffered reader takes messages away from the other consumers.

use std::env;
use std::io::{BufReader, Read, Write};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

const RECORD: usize = 16;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("raw") => take_one(os_pipe::dup_stdin()?),
        Some("buffered") => take_one(BufReader::new(os_pipe::dup_stdin()?)),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"raw\" or \"buffered\"")
        }
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    for (role, left) in [("raw", 15), ("buffered", 0)] {
        let (mut reader, mut writer) = os_pipe::pipe()?;
        writer.write_all(&[b'x'; 16 * RECORD])?;
        drop(writer);
        let status = Command::new(env::current_exe()?)
            .arg(role)
            .stdin(reader.try_clone()?)
            .status()
            .context("cannot run the consumer")?;
        ensure!(status.success(), "the consumer failed");

        let bytes = reader.read_to_end(&mut Vec::new())?;
        assert_eq!(bytes / RECORD, left);
        println!("{role}: one record used, {left} left for the others");
    }
    Ok(())
}

fn take_one(mut queue: impl Read) -> Result<()> {
    queue
        .read_exact(&mut [0; RECORD])
        .context("expected a record")
}
// ANCHOR_END: proof
// ANCHOR_END: all
