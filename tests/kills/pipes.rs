//! The pipes: whichever process dies, and whenever it does, each request is
//! answered once, or the program says what is missing.

use crate::SUPERVISOR;
use anyhow::Result;
use running::kills;

const SECTION: &str = "communicating_with_pipes";

/// The requests of a child that dies go to the next.
#[test]
fn resent_frames() -> Result<()> {
    kills::once(SUPERVISOR, SECTION, "resent_frames", |program| {
        let program = program.arg("load");
        kills::run(&program, |_, _| None)?.without_loss()?;
        Ok(())
    })
}

/// A program without a second child ends, with an error that says so.
#[test]
fn others_end() -> Result<()> {
    let mut names = vec![SECTION, "duplex", "pipeline", "framed_messages"];
    names.push("large_frames");
    #[cfg(target_os = "linux")]
    names.push("shared_message");
    for name in names {
        kills::once(SUPERVISOR, SECTION, name, |program| {
            kills::run(&program, |_, _| None)?.without_faults()?;
            Ok(())
        })?;
    }
    Ok(())
}
